"""Tokens: what a browser's request schedules is a write, and protected as such.

plone.protect asks for a token when a request has changed something in a database, as
far as the connections still know at its end: that leaves out tasks in memory, and all
that was there at a savepoint. So scheduling asks for it as well, when the transaction
commits, wherever tasks are kept.
"""

from AccessControl import getSecurityManager
from collective.background.running.politeness import visitors
from plone.keyring.interfaces import IKeyManager
from plone.protect import auto
from plone.protect.authenticator import check
from plone.protect.authenticator import createToken
from plone.protect.authenticator import isAnonymousUser
from plone.protect.interfaces import IDisableCSRFProtection
from plone.protect.utils import getRootKeyManager
from urllib.parse import urlencode
from zExceptions import Forbidden
from zExceptions import Redirect
from zope.component import queryUtility
from zope.component.hooks import getSite
from zope.globalrequest import getRequest


# What a page of another origin makes a browser send without its asking here before
# (CORS). With other methods plone.protect wants no token either.
METHODS = ("GET", "HEAD", "POST")


def check_token():
    """Refuse the current transaction, if it is a browser's and has no valid token.

    Raises Forbidden, as plone.protect does; for a page that was asked for with GET a
    Redirect to where plone.protect has its user confirm that this was meant.
    """
    request = getRequest()
    if not _needs_token(request):
        return
    manager = queryUtility(IKeyManager)
    if manager is None:  # outside of all sites
        manager = getRootKeyManager(request["PARENTS"][-1])
    try:
        check(request, manager=manager)
    except Forbidden as error:
        if not _can_be_confirmed(request):
            raise
        form = {
            **request.form,
            "original_url": request["URL"],
            "_authenticator": createToken(manager=manager),
        }
        url = f"{getSite().absolute_url()}/@@confirm-action?{urlencode(form)}"
        raise Redirect(url) from error


def _needs_token(request):
    return (
        request is not None
        and visitors.is_served_here(request)
        and request.method in METHODS
        and not IDisableCSRFProtection.providedBy(request)
        and not auto.CSRF_DISABLED
        and not isAnonymousUser(getSecurityManager().getUser())
    )


def _can_be_confirmed(request):
    """Whether a person waits for a page. As in ``plone.protect.auto``."""
    response = request.response
    is_page = "text/html" in (response.getHeader("Content-Type") or "")
    return (
        request.method == "GET"
        and getSite() is not None
        and (is_page or response.getStatus() in (301, 302))
    )
