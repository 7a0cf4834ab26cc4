"""Snapshots: the environment in which ``schedule()`` was called.

Comes in: the current site, user and request (all of them may be missing).
Goes out: a Snapshot, and the database that the thread has to open.
Made by ``scheduling/rules.py``, read by ``environment/``.
"""

from Acquisition import aq_base
from collective.background.capture.credentials import without_credentials
from collective.background.capture.package import Package
from collective.background.capture.pickling import pack
from collective.background.capture.users import current_user
from collective.background.capture.users import named_user
from collective.background.capture.users import UserReference
from collective.background.exceptions import NotPortable
from collective.background.model.messages import portable_line
from collective.background.zopecompat import directly_provided
from collective.background.zopecompat import language_of
from collective.background.zopecompat import virtual_names
from collective.background.zopecompat import zope_database
from dataclasses import dataclass
from dataclasses import replace
from sys import intern
from urllib.parse import urlsplit
from zope.component.hooks import getSite
from zope.globalrequest import getRequest

import logging


logger = logging.getLogger(__name__)

# All that is kept of a visitor's headers; see FORBIDDEN_HEADERS in web.py for
# what a caller may set on his own account.
HEADERS = ("HTTP_ACCEPT", "HTTP_ACCEPT_LANGUAGE", "HTTP_USER_AGENT")
# The second one is the clipboard.
COOKIES = ("I18N_LANGUAGE", "__cp")

NOTHING = pack({})


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
    - ``client``: the address of the visitor, as far as Zope knows it, or "". For those
      who write it down; nothing may be concluded from it
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
    client: str = ""


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
        # Tasks share the text.
        site_path=None if site is None else intern("/".join(site.getPhysicalPath())),
        user=current_user() if user_id is None else named_user(user_id, site),
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
        server_url=check_address(known.get("SERVER_URL", "")),
        script=virtual_names(request),
        virtual_root=known.get("VirtualRootPhysicalPath"),
        url=known.get("URL", ""),
        actual_url=known.get("ACTUAL_URL", ""),
        language=language_of(request),
        skin=None if current_skin is None else current_skin(),
        headers=_pick(request.environ, HEADERS),
        cookies=_pick(request.cookies, COOKIES),
        interfaces=directly_provided(request),
        client=request.getClientAddr(),
    )


def check_address(url):
    """Return the address of a server. Raises NotPortable if it cannot be read."""
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise NotPortable(
            f"the request was sent to {url!r}, which is no address ({error}): its "
            "header 'Host' is wrong"
        ) from error
    return url


def _pick(mapping, names):
    return {name: mapping[name] for name in names if name in mapping}


def _pack_form(form):
    form = without_credentials(form)
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
                what, why = portable_line(key), portable_line(error)
                logger.warning("form[%r] is left behind: %s", what, why)
            else:
                portable[key] = value
        return pack(portable)
