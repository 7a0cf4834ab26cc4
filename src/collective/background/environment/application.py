"""The environment of a task: everything that a request would have.

Comes in: a Snapshot and the database. Goes out, for the time of a ``with``
block: connection, application, request, interaction, site and user, all of
this thread. Each step registers how it is undone before the next one begins,
so nothing leaks when one fails. Called by ``running/runner.py``, once for every
attempt.
"""

from AccessControl.SecurityManagement import getSecurityManager
from AccessControl.SecurityManagement import newSecurityManager
from AccessControl.SecurityManagement import setSecurityManager
from collective.background.capture.places import find
from collective.background.environment.request import bind_application
from collective.background.environment.request import bind_public_url
from collective.background.environment.request import fill_form
from collective.background.environment.request import make_request
from collective.background.environment.request import restore_markers
from collective.background.environment.security import find_user
from collective.background.exceptions import SiteGone
from collective.background.model.outages import is_outage
from collective.background.model.settings import public_url
from collective.background.zopecompat import application_of
from collective.background.zopecompat import begin_interaction
from collective.background.zopecompat import enter
from collective.background.zopecompat import has_transaction
from collective.background.zopecompat import restore_interaction
from collective.background.zopecompat import restore_skin
from collective.background.zopecompat import set_language
from collective.background.zopecompat import set_names_ahead
from collective.background.zopecompat import take_skin
from contextlib import contextmanager
from contextlib import ExitStack
from dataclasses import dataclass
from zope.component.hooks import getSite
from zope.component.hooks import setSite
from zope.globalrequest import clearRequest
from zope.globalrequest import getRequest
from zope.globalrequest import setRequest
from zope.security.management import queryInteraction

import logging
import transaction


logger = logging.getLogger(__name__)

PLACEHOLDER = "@@background-task"


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """What was rebuilt; all None in a process without Zope."""

    app: object = None
    request: object = None
    site: object = None


@contextmanager
def environment(snapshot, database, make_request=make_request):
    """Rebuild the environment of ``snapshot`` in this thread.

    ``database``: the ZODB to open, or None in a process without Zope.
    ``make_request``: returns the request for a RequestSnapshot.
    Raises SiteGone, UserGone, ReferenceGone when something is no longer there.
    """
    if database is None:
        yield Environment()
        return
    with ExitStack() as stack:
        connection = database.open()
        _undo(stack, _close, connection)
        # The thread's own state: nothing, but when a task runs inside another
        # request. Put back after the task's request is closed, which clears it.
        _undo(stack, setSite, getSite())
        _undo(stack, restore_skin, take_skin())
        _undo(stack, setSecurityManager, getSecurityManager())
        _undo(stack, restore_interaction, queryInteraction())
        _undo(stack, _restore_request, getRequest())

        request = make_request(snapshot.request)
        _undo(stack, request.close)
        setRequest(request)
        begin_interaction()
        app = application_of(connection)
        app = bind_application(request, app, snapshot.request)
        site = _enter_site(app, request, snapshot.site_path)
        if snapshot.request is None and site is not None and (url := public_url()):
            bind_public_url(request, site, url)
        user = find_user(snapshot.user, app, site)
        newSecurityManager(None, user)
        request["AUTHENTICATED_USER"] = user
        if snapshot.request is not None and site is not None:
            _restore_choices(request, site, snapshot.request)
        if snapshot.request is not None:
            fill_form(request, snapshot.request, app)
        yield Environment(app=app, request=request, site=site)


def _enter_site(app, request, path):
    """Go down to the site as the publisher does, and return it."""
    if path is None:
        return None
    # The hooks look at what is still to be traversed; with nothing left they
    # would look for a default view.
    set_names_ahead(request, [PLACEHOLDER])
    obj = app
    for name in path.split("/")[1:]:
        above = obj.getPhysicalPath()
        obj = find(obj, name)
        # It may be a view by this name, or be acquired from further up.
        if getattr(obj, "getPhysicalPath", tuple)() != (*above, name):
            raise SiteGone(
                f"there is no site at {path} any more: it was deleted, renamed or "
                "moved after the task was scheduled"
            )
        request["PARENTS"].insert(0, obj)
        enter(obj, request)
    set_names_ahead(request, [])
    setSite(obj)
    return obj


def _restore_choices(request, site, snapshot):
    """Give the request the layers, skin and language of the original.

    After the site's own hooks, which would choose them anew from what a
    request without a path can tell.
    """
    restore_markers(request, snapshot)
    if snapshot.skin is not None and snapshot.skin != site.getCurrentSkinName():
        site.changeSkin(snapshot.skin, request)
    if snapshot.language is not None:
        set_language(request, snapshot.language)


def _undo(stack, function, *args):
    """Let ``function(*args)`` be called at the end, whatever else fails then."""
    stack.callback(_logged, function, *args)


def _logged(function, *args):
    try:
        function(*args)
    except Exception as error:
        if is_outage(error):
            logger.warning("the database is away; %s() failed", function.__name__)
        else:
            logger.exception("undoing the environment failed at %r", function)


def _close(connection):
    # A connection that has joined a transaction cannot be closed. Without a
    # transaction, which is the rule, abort() would begin one.
    try:
        if has_transaction():
            transaction.abort()
    finally:
        # Also in an outage, when RelStorage lets abort() fail: or it would never be
        # used again.
        connection.close()


def _restore_request(request):
    if request is None:
        clearRequest()
    else:
        setRequest(request)
