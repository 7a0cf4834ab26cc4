"""Calls of the web: views of the site, and requests to any server.

Comes in: what to publish or to ask for, checked here. Goes out: a Call, see ``call``.
"""

from Acquisition import aq_base
from collections.abc import Mapping
from collective.background.capture.call import Call
from collective.background.capture.call import REQUEST
from collective.background.capture.call import VIEW
from collective.background.capture.call import ViewRequest
from collective.background.capture.context import context_fields
from collective.background.capture.pickling import check_portable
from collective.background.capture.pickling import pack
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from collective.background.model.messages import NAME_LENGTH
from collective.background.model.messages import portable_line
from collective.background.model.spool import Spool
from urllib.parse import urlsplit

import inspect
import requests


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Headers that could name a user, or say who sent the request. A task has its
# user from elsewhere, and nobody may choose another by a header.
FORBIDDEN_HEADERS = frozenset(
    {"authorization", "cookie", "proxy-authorization", "forwarded", "host"}
)
FORBIDDEN_PREFIXES = ("x-forwarded-", "remote-", "x-remote-")


def capture_view(context, name, form, method, body, headers):
    """Return a Call of the view ``name`` of ``context``.

    Raises BadOption for a name, method or header that cannot be used,
    NotPortable when the context or a value of the form cannot be carried.
    """
    if not hasattr(aq_base(context), "getPhysicalPath"):
        raise BadOption(
            f"schedule_view() needs content as its context, not {context!r}"
        )
    if not isinstance(name, str):
        raise BadOption(f"name is {name!r}; it must be the name of a view")
    steps = [step for step in name.split("/") if step and step != "."]
    if not steps or ".." in steps:
        raise BadOption(f"{name!r} is not the name of a view")
    if form is not None and not isinstance(form, Mapping):
        raise BadOption(f"form is {form!r}; it must be a dictionary")
    if not isinstance(method, str) or method not in METHODS:
        raise BadOption(
            f"method is {method!r}; it must be one of {', '.join(sorted(METHODS))}"
        )
    if not isinstance(body, bytes | Spool):
        raise BadOption(f"body must be bytes, not {type(body).__name__}")
    if isinstance(body, bytes):
        body = Spool.of(body)
    view = ViewRequest(method=method, headers=check_headers(headers), body=body)
    return capture_publication(context, steps, dict(form or {}), view)


def capture_publication(context, steps, form, view):
    """Return a Call of what is published at ``steps`` below ``context``.

    ``steps``: names; none for the content itself. ``form``: a dictionary.
    ``view``: a ViewRequest. Raises NotPortable.
    """
    try:
        package = pack((context, steps, form))
    except NotPortable:
        check_portable("context", context)
        for key, value in form.items():
            check_portable(f"form[{key!r}]", value)
        raise
    path = "/".join(context.getPhysicalPath())
    return Call(
        kind=VIEW,
        name=portable_line("/".join((path, *steps)), NAME_LENGTH),
        package=package,
        view=view,
        **context_fields(package.references[0]),
    )


def capture_request(method, url, kwargs):
    """Return a Call of ``requests.request(method, url, **kwargs)``.

    Raises BadOption for a method or address that cannot be used, BadCall for
    an argument that requests does not know, NotPortable.
    """
    if not isinstance(method, str) or method.upper() not in METHODS:
        raise BadOption(
            f"method is {method!r}; it must be one of {', '.join(sorted(METHODS))}"
        )
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname
        port = parts.port
    except (AttributeError, ValueError):
        is_address = False
    if not is_address:
        raise BadOption(f"{url!r} is not the address of a web server")
    known = set(inspect.signature(requests.Session.request).parameters)
    unknown = sorted(set(kwargs) - known)
    if unknown:
        raise BadCall(f"requests.request() has no argument {', '.join(unknown)}")
    try:
        package = pack((method.upper(), url, kwargs))
    except NotPortable:
        for key, value in kwargs.items():
            check_portable(f"argument {key!r}", value)
        raise
    # A query may hold a token and "user:password@" is a secret.
    shown = f"{parts.scheme}://{parts.hostname}"
    if port:
        shown += f":{port}"
    name = f"{method.upper()} {shown}{parts.path}"
    return Call(kind=REQUEST, name=portable_line(name, NAME_LENGTH), package=package)


def check_headers(headers):
    """Return ``{"content-type": …}`` for a view's request.

    Raises BadOption for a header that could name a user, or is no text.
    """
    if headers is not None and not isinstance(headers, Mapping):
        raise BadOption(f"headers is {headers!r}; it must be a dictionary")
    checked = {}
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise BadOption(f"header {name!r} is {value!r}; both must be texts")
        key = name.lower().replace("_", "-")
        if key in FORBIDDEN_HEADERS or key.startswith(FORBIDDEN_PREFIXES):
            raise BadOption(
                f"header {name!r} cannot be set: a task runs as its own user, "
                "under the address that it was scheduled from"
            )
        if "\n" in value or "\r" in value:
            raise BadOption(f"header {name!r} has a line break in its value")
        checked[key] = value
    return checked
