"""Snapshots: the environment in which ``schedule()`` was called.

Comes in: the current site, user and request (all of them may be missing).
Goes out: a Snapshot, and the database that the thread has to open.
Made by ``scheduling/rules.py``, read by ``environment/``.
"""

from AccessControl import getSecurityManager
from Acquisition import aq_base
from Acquisition import aq_inner
from Acquisition import aq_parent
from collective.background.capture.package import Package
from collective.background.capture.pickling import pack
from collective.background.capture.secrets import without_credentials
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from collective.background.model.values import value
from collective.background.zopecompat import directly_provided
from collective.background.zopecompat import emergency_user
from collective.background.zopecompat import is_special
from collective.background.zopecompat import language_of
from collective.background.zopecompat import system_user
from collective.background.zopecompat import user_folder_in
from collective.background.zopecompat import virtual_names
from collective.background.zopecompat import zope_database
from dataclasses import dataclass
from dataclasses import replace
from zope.component.hooks import getSite
from zope.globalrequest import getRequest

import logging


logger = logging.getLogger(__name__)

# All that is kept of a visitor's headers; see FORBIDDEN_HEADERS in call.py for
# what a caller may set on his own account.
HEADERS = ("HTTP_ACCEPT", "HTTP_ACCEPT_LANGUAGE", "HTTP_USER_AGENT")
COOKIES = ("I18N_LANGUAGE",)

NOTHING = pack({})

USER = "user"
ANONYMOUS = "anonymous"
SYSTEM = "system"
EMERGENCY = "emergency"


@value("user")
@dataclass(frozen=True, kw_only=True, slots=True)
class UserReference:
    """Who a task runs as.

    - ``kind``: "user", "anonymous", "system" (Zope itself) or "emergency"
    - ``id``: the user id; None for anonymous
    - ``folder``: physical path of his user folder, a string, or None
    """

    kind: str
    id: str | None = None
    folder: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestSnapshot:
    """What is kept of a request.

    - ``form``: a Package of the form, uploads included
    - ``server_url``: scheme, host and port
    - ``script``: names that the virtual host puts before every path
    - ``virtual_root``: the physical path that is the root of the virtual host
    - ``url`` and ``actual_url``: of the view that scheduled the task
    - ``language``: the one that was negotiated, or None
    - ``skin``: the name of the skin, or None
    - ``interfaces``: browser layers and other markers, in their order
    """

    method: str
    form: Package
    server_url: str
    script: tuple
    virtual_root: tuple | None
    url: str
    actual_url: str
    language: str | None
    skin: str | None
    headers: dict
    cookies: dict
    interfaces: tuple


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The environment to rebuild; what was missing is None."""

    site_path: str | None
    user: UserReference
    request: RequestSnapshot | None

    def close(self):
        """Give back the temporary files of uploads."""
        if self.request is not None:
            self.request.form.close()


def without_form(snapshot):
    """Return the same environment without the form and its uploads."""
    if snapshot.request is None:
        return snapshot
    return replace(snapshot, request=replace(snapshot.request, form=NOTHING))


def capture_snapshot(user_id=None, with_form=True):
    """Return the Snapshot of the current environment.

    ``user_id``: run as this user instead of the current one. ``with_form``:
    False when the task's request will have a form of its own.
    Raises BadOption for an unknown user, NotPortable for a user who cannot be
    found again.
    """
    site = getSite()
    request = getRequest()
    return Snapshot(
        site_path=None if site is None else "/".join(site.getPhysicalPath()),
        user=current_user() if user_id is None else _named_user(user_id, site),
        request=None if request is None else _capture_request(request, site, with_form),
    )


def find_application():
    """Return the application of the current request or site, or None."""
    request = getRequest()
    if request is not None and request.get("PARENTS"):
        return request["PARENTS"][-1]
    site = getSite()
    return None if site is None else site.getPhysicalRoot()


def find_database():
    """Return the database to open in the thread, or None without Zope.

    It is the one of the scheduling connection, so that a test layer's or a
    script's own database is found as well.
    """
    connection = getattr(aq_base(find_application()), "_p_jar", None)
    if connection is not None:
        return connection.db()
    return zope_database()


def _capture_request(request, site, with_form):
    # Not by request.get(), which looks in half a dozen places.
    known = request.other
    current_skin = getattr(site, "getCurrentSkinName", None)
    return RequestSnapshot(
        method=request.environ.get("REQUEST_METHOD", "GET"),
        form=_pack_form(request.form if with_form else {}),
        server_url=known.get("SERVER_URL", ""),
        script=virtual_names(request),
        virtual_root=known.get("VirtualRootPhysicalPath"),
        url=known.get("URL", ""),
        actual_url=known.get("ACTUAL_URL", ""),
        language=language_of(request),
        skin=None if current_skin is None else current_skin(),
        headers=_pick(request.environ, HEADERS),
        cookies=_pick(request.cookies, COOKIES),
        interfaces=directly_provided(request),
    )


def _pick(mapping, names):
    return {name: mapping[name] for name in names if name in mapping}


def _pack_form(form):
    form = without_credentials(dict(form))
    if not form:
        return NOTHING
    try:
        return pack(form)
    except NotPortable:
        # Not of the visitor: code has put objects into the form. The task can
        # do without them, but should somebody miss one, the log has it.
        portable = {}
        for key, value in form.items():
            try:
                pack(value).close()
            except NotPortable as error:
                logger.warning("form[%r] is left behind: %s", key, error)
            else:
                portable[key] = value
        return pack(portable)


def current_user():
    """Return the UserReference of the current user.

    Raises NotPortable for a temporary user whom no user folder knows.
    """
    user = getSecurityManager().getUser()
    base = aq_base(user)
    if base is aq_base(system_user()):
        return UserReference(kind=SYSTEM, id=user.getUserName())
    if base is aq_base(emergency_user()):
        return UserReference(kind=EMERGENCY, id=user.getUserName())
    user_id = user.getId()
    if user_id is None:
        if user.has_role("Authenticated"):
            raise NotPortable(
                f"the current user {user.getUserName()!r} is a temporary one that "
                "no user folder knows; schedule as another: using(user=…)"
            )
        return UserReference(kind=ANONYMOUS)
    folder = aq_parent(aq_inner(user))
    if folder is None or is_special(base):
        # Made on the spot, perhaps with more rights than he has of his own.
        return _named_user(user_id, getSite())
    return UserReference(
        kind=USER, id=user_id, folder="/".join(folder.getPhysicalPath())
    )


def _named_user(user_id, site):
    """Return the user as the site's user folder or one above it knows him."""
    if not isinstance(user_id, str) or not user_id:
        raise BadOption(f"user is {user_id!r}; it must be the id of a user")
    if user_id == system_user().getUserName():
        return UserReference(kind=SYSTEM, id=user_id)
    container = aq_inner(site)
    while container is not None:
        folder = user_folder_in(container)
        if folder is not None and folder.getUserById(user_id) is not None:
            return UserReference(
                kind=USER, id=user_id, folder="/".join(folder.getPhysicalPath())
            )
        container = aq_parent(container)
    raise BadOption(
        f"user is {user_id!r}, but no user folder of the site or above it knows him"
    )
