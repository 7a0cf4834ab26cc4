"""The request at hand, once more as a task.

Comes in: a view or service in the middle of its own request. Goes out: the id of a
task that publishes the very same: method, address, query, form with uploads, body and
some headers, as the same user. Called by views of add-ons (``rerun_in_background``)
and by ``services/respond_async.py``.

What logs a user in is not taken along: the task has its user from elsewhere.
"""

from Acquisition import aq_base
from Acquisition import aq_inner
from collective.background.api.groups import current_group
from collective.background.api.scheduling import get_scheduler
from collective.background.capture.call import ViewRequest
from collective.background.capture.credentials import has_credentials
from collective.background.capture.credentials import has_credentials_in_json
from collective.background.capture.credentials import without_credentials
from collective.background.capture.files import take_file
from collective.background.capture.web import capture_publication
from collective.background.exceptions import AlreadyInBackground
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from collective.background.model.messages import _
from collective.background.model.options import make_options
from collective.background.model.spool import Spool
from collective.background.running.current import current_task
from collective.background.zopecompat import service_name
from collective.background.zopecompat import without_rest
from plone import api
from plone.protect.authenticator import check
from plone.protect.interfaces import IDisableCSRFProtection
from plone.rest.interfaces import IAPIRequest
from urllib.request import parse_http_list
from zope.component import getMultiAdapter
from zope.i18n import translate


# Of the headers, besides those of every snapshot. None of them says who the user is:
# one that has locked content proves it with the token, a script that it was on a page
# of the site.
HEADERS = ("Accept", "Content-Type", "Lock-Token", "Prefer", "X-CSRF-TOKEN")
RESPOND_ASYNC = "respond-async"  # a preference that a task has fulfilled
# What the publisher reads into the form, besides what has files in it.
FORM_TYPES = ("application/x-www-form-urlencoded", "application/x-url-encoded", "")


def rerun_in_background(view, title=None, **options):
    """Schedule the request that ``view`` is answering, and send the visitor back.

    For views that take long, at the beginning of their ``__call__``::

        if current_task() is None:
            return rerun_in_background(self, title=_("Export"))

    ``title`` and ``options``: those of ``using()``. The visitor is redirected to the
    context of the view, with a message; what is returned is for the view to return.

    As nobody is asked for a token again in the task, the request needs one now,
    whatever its method: Forbidden is raised without a valid ``_authenticator``, unless
    the request was marked with IDisableCSRFProtection.
    Raises AlreadyInBackground when called in a task, BadOption when the view is not
    what the request has asked for, and as ``schedule()``.
    """
    if not (hasattr(view, "request") and hasattr(view, "context")):
        raise BadOption(
            f"view is {view!r}; it must be the view that is answering the request"
        )
    request = view.request
    if current_task() is not None:
        raise AlreadyInBackground(
            "rerun_in_background() was called in a task, which would never end: call "
            "it only where current_task() is None"
        )
    if not IDisableCSRFProtection.providedBy(request):
        check(request)
    context = aq_inner(view.context)
    schedule_again(context, request, title=title, **options)
    api.portal.show_message(_message(title, request), request)
    state = getMultiAdapter((context, request), name="plone_context_state")
    return request.response.redirect(state.view_url())


def schedule_again(context, request, /, **options):
    """Schedule the request once more, and return the id of the task.

    ``context``: the content on which the request works. ``options``: of ``using()``.
    Raises BadOption when the request has not come to that content, NotPortable when
    its body has credentials, and as ``schedule()``.
    """
    options = make_options(options)
    headers = {name.lower(): request.getHeader(name) or "" for name in HEADERS}
    if "++api++" in request.steps:
        # What the address has said without words.
        headers["accept"] = "application/json"
    headers["prefer"] = without_preference(headers["prefer"], RESPOND_ASYNC)
    form_type = ""
    body = Spool.of(b"")
    if _is_form(request):
        form_type = headers.pop("content-type")
    elif request.get("BODYFILE") is not None:
        body = _take_body(request["BODYFILE"])
    view = ViewRequest(
        method=request.method,
        headers={name: value for name, value in headers.items() if value},
        body=body,
        # What is in it is in the form as well.
        query="" if has_credentials(request.form) else request["QUERY_STRING"],
        form_type=form_type,
    )
    form = without_credentials(dict(request.form))
    call = capture_publication(context, steps_below(context, request), form, view)
    return get_scheduler().add_task(call, options.resolve((), {}), current_group())


def sends_credentials(request):
    """Whether a request has fields that log a user in, or passwords.

    In its form, or in a body that is no form.
    """
    if has_credentials(request.form):
        return True
    file = None if _is_form(request) else request.get("BODYFILE")
    return file is not None and has_credentials_in_json(file)


def without_preference(header, name):
    """Return a header "Prefer" without a preference. ``name``: in lower case."""
    preferences = (each.strip() for each in parse_http_list(header))
    return ", ".join(each for each in preferences if preference_name(each) != name)


def preference_name(preference):
    """Return the name of one of a header "Prefer", in lower case."""
    return preference.partition(";")[0].partition("=")[0].strip().lower()


def _take_body(file):
    """Return a Spool of a body. Raises NotPortable for one that has credentials."""
    if has_credentials_in_json(file):
        raise NotPortable(
            "the body of the request has a password or a log-in, and no task keeps "
            "these; do at once what needs them"
        )
    return take_file(file)


def steps_below(context, request):
    """Return the names that led from ``context`` to what the request has asked for.

    Raises BadOption when the context was not on the way.
    """
    steps = [*request.steps]
    for above, parent in enumerate(request["PARENTS"], 1):
        if aq_base(without_rest(parent)) is aq_base(context):
            # A service without a name is called by its method.
            default = service_name(request)
            return [name for name in steps[-above:] if name != default]
    raise BadOption(
        f"{context!r} is not what {request['ACTUAL_URL']} has led to; only the request "
        "that a view is answering itself can be made again"
    )


def _is_form(request):
    """Whether the form has all that the body says."""
    content_type = request.getHeader("Content-Type") or ""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return True
    # The REST API reads JSON, whatever a client calls it.
    return kind in FORM_TYPES and not IAPIRequest.providedBy(request)


def _message(title, request):
    if title is None:
        return _("This goes on in the background.")
    return _(
        "${title} goes on in the background.",
        mapping={"title": translate(title, context=request)},
    )
