"""``Prefer: respond-async`` (RFC 7240): any call of the REST API as a task.

Comes in: a request to a service, after traversal and permission checks. Goes out: the
answer 202 and the address of a task that makes the very same request, or, where that
is not possible, the answer of the service as if nothing had been preferred. The
publisher calls this, by way of the subscriber.
"""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background.api.rerunning import preference_name
from collective.background.api.rerunning import RESPOND_ASYNC
from collective.background.api.rerunning import schedule_again
from collective.background.api.rerunning import sends_credentials
from collective.background.api.rerunning import steps_below
from collective.background.capture.snapshot import check_address
from collective.background.exceptions import NotPortable
from collective.background.exceptions import Unavailable
from collective.background.interfaces import ICollectiveBackgroundLayer
from collective.background.interfaces import ISynchronousService
from collective.background.model.settings import ALL
from collective.background.model.settings import background_settings
from collective.background.model.settings import MANAGERS
from collective.background.services.representing import represent
from collective.background.services.representing import task_url
from collective.background.services.titles import title_of
from collective.background.showing.handing_out import keep_private
from collective.background.showing.visibility import may_have_tasks
from collective.background.showing.visibility import may_manage
from collective.background.showing.visibility import visible_record
from plone.protect.interfaces import IDisableCSRFProtection
from plone.rest.interfaces import IAPIRequest
from plone.rest.interfaces import IService
from plone.restapi.services import Service
from Products.Five.browser import BrowserView
from urllib.request import parse_http_list
from zope.interface import alsoProvides

import logging


logger = logging.getLogger(__name__)


def ask_after_traversal(site, event):
    """Have the publisher ask, at the end of traversal, whether to answer later.

    A subscriber to the traversal of the site.
    """
    request = event.request
    if prefers_async(request.getHeader("Prefer")):
        request.post_traverse(answer_instead, (request,))


def prefers_async(header):
    """Whether a header "Prefer" asks for it. ``header``: its value, or None."""
    return RESPOND_ASYNC in map(preference_name, parse_http_list(header or ""))


def answer_instead(request):
    """Return what is published instead of a service, or None for that itself."""
    service = request["PUBLISHED"]
    if _is_possible(service, request):
        return Accepted(service.context, request)
    return None


def _is_possible(service, request):
    return (
        request.method not in ("GET", "HEAD", "OPTIONS")
        and IAPIRequest.providedBy(request)
        and ICollectiveBackgroundLayer.providedBy(request)
        and IService.providedBy(service)
        and not ISynchronousService.providedBy(service)
        and current_task() is None
        and may_have_tasks()
        and _is_wanted()
        and _has_address(request)
        and int(request.environ.get("CONTENT_LENGTH") or 0) <= get_scheduler().max_body
        and not sends_credentials(request)
        and _has_room()
    )


def _is_wanted():
    """Whether the site makes tasks of the current user's calls."""
    who = background_settings().respond_async
    return who == ALL or (who == MANAGERS and may_manage())


def _has_address(request):
    try:
        check_address(request["SERVER_URL"])
    except NotPortable as error:
        logger.info("the request is answered at once: %s", error)
        return False
    return True


def _has_room():
    try:
        get_scheduler().check_room()
    except Unavailable as error:
        logger.info("the request is answered at once: %s", error)
        return False
    return True


class Accepted(Service, BrowserView):
    """Answers that the request will be a task.

    A service itself, so that the permission to use the REST API is checked, and
    headers for other origins are set, as by the one that it stands for.
    """

    def reply(self):
        # No page of another origin can send this header without being asked for
        # permission (CORS); that is as good as a token.
        alsoProvides(self.request, IDisableCSRFProtection)
        steps = steps_below(self.context, self.request)
        title = title_of(self.context, self.request, steps)
        task_id = schedule_again(self.context, self.request, title=title)
        response = self.request.response
        response.setStatus(202)
        keep_private(response)
        response.setHeader("Location", task_url(task_id))
        response.setHeader("Preference-Applied", RESPOND_ASYNC)
        return represent(visible_record(task_id), self.request)
