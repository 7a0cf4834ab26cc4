"""The request thread of the benchmarks: site, user and request are set up."""

from AccessControl.SecurityManagement import newSecurityManager
from AccessControl.SecurityManagement import noSecurityManager
from benchmarks.instance import USER
from collective.background.environment.request import bind_application
from collective.background.environment.request import make_request
from contextlib import contextmanager
from zope.component.hooks import setSite
from zope.event import notify
from zope.globalrequest import clearRequest
from zope.globalrequest import setRequest
from zope.security.management import endInteraction
from zope.security.management import newInteraction
from zope.traversing.interfaces import BeforeTraverseEvent

import transaction
import Zope2


def enter(app, path="Plone"):
    """Rebuild the environment by hand, as recipes in forums do; return the site."""
    request = make_request(None)
    app = bind_application(request, app, None)
    setRequest(request)
    newInteraction()
    site = app.unrestrictedTraverse(path)
    notify(BeforeTraverseEvent(site, request))
    setSite(site)
    users = site.acl_users
    newSecurityManager(None, users.getUserById(USER).__of__(users))
    return site


def leave(app):
    """Undo it."""
    transaction.abort()
    setSite(None)
    noSecurityManager()
    endInteraction()
    clearRequest()
    app._p_jar.close()


@contextmanager
def as_editor():
    """Yield the site, for the time of a ``with`` block."""
    app = Zope2.app()
    try:
        yield enter(app)
    finally:
        leave(app)
