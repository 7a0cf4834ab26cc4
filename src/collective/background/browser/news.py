"""A cookie says to the pages of a user that he has scheduled something.

Comes in: a request that is about to commit. Goes out: the cookie, which the script of
the first page that finds it takes away again. So pages need not ask.
"""

from collective.background.interfaces import ICollectiveBackgroundLayer
from collective.background.model.settings import background_settings
from collective.background.scheduling.joining import scheduled_here
from plone import api


COOKIE = "background_tasks"


def tell_pages(event):
    """Set the cookie if the transaction of a request has scheduled something.

    A subscriber to IPubBeforeCommit.
    """
    request = event.request
    if (
        ICollectiveBackgroundLayer.providedBy(request)
        and scheduled_here()
        and not api.user.is_anonymous()
        and background_settings().show_viewlet
    ):
        path = api.portal.get().absolute_url_path() or "/"
        request.response.setCookie(COOKIE, "new", path=path, same_site="Lax")
