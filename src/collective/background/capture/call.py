"""Calls: what a task will do, taken along from the request.

Comes in: a callable and its arguments, checked here. Goes out: a Call.
Made by ``api/scheduling.py``; ``running/kinds.py`` makes it happen.
"""

from Acquisition import aq_base
from collections.abc import Mapping
from collective.background.capture.context import context_fields
from collective.background.capture.context import context_of
from collective.background.capture.package import Package
from collective.background.capture.pickling import pack
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from collective.background.model.messages import NAME_LENGTH
from collective.background.model.messages import portable_line
from collective.background.model.options import Options
from collective.background.model.spool import Spool
from dataclasses import dataclass
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import functools
import inspect
import requests
import types


CALL = "call"
VIEW = "view"
REQUEST = "request"
BATCH = "batch"

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Headers that could name a user, or say who sent the request. A task has its
# user from elsewhere, and nobody may choose another by a header.
FORBIDDEN_HEADERS = frozenset(
    {"authorization", "cookie", "proxy-authorization", "forwarded", "host"}
)
FORBIDDEN_PREFIXES = ("x-forwarded-", "remote-", "x-remote-")


# It takes longer to find out than a call to be packed.
_signatures = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewRequest:
    """Of the request with which a view is published: what is not in the form.

    ``query``: the query string; what it says is in the form, too. ``form_type``: the
    Content-Type of a body that is not here, as the form has all that it said; or "".
    """

    method: str
    headers: dict
    body: Spool
    query: str = ""
    form_type: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call, ready to be carried to another thread.

    - ``kind``: "call", "view", "request" or "batch"
    - ``name``: dotted name of the callable, or path of the view, or URL
    - ``package``: what the kind needs, see ``running/kinds.py``; None when it
      is not needed any more
    - ``names``: of the function's arguments, as far as they are known
    - ``view``: of a view, a ViewRequest
    - ``items``: of a batch, a Package of each item
    - ``size``: of a batch, how many items are one transaction
    - ``extra``: plain values that are passed after the other arguments
    - ``context_path`` and ``context_uid``: of the content that it works on
    - ``options``: of a callback that has some of its own, else None
    """

    kind: str
    name: str
    package: Package | None
    names: tuple = ()
    view: ViewRequest | None = None
    items: tuple = ()
    size: int = 0
    context_path: str | None = None
    context_uid: str | None = None
    extra: tuple = ()
    options: Options | None = None

    def close(self):
        """Give back memory and temporary files."""
        if self.package is not None:
            self.package.close()
        if self.view is not None:
            self.view.body.close()
        for item in self.items:
            item.close()


def capture_call(function, args, kwargs):
    """Return a Call of ``function(*args, **kwargs)``.

    Raises BadCall when it could not be called that way, NotPortable when the
    callable or one of the arguments (which is named) cannot be carried.
    """
    bound = check_call(function, args, kwargs)
    try:
        package = pack((function, args, kwargs))
    except NotPortable as error:
        _blame(function, bound, args, kwargs)
        raise NotPortable(f"{dotted_name(function)}: {error}") from error
    return Call(
        kind=CALL,
        name=dotted_name(function),
        package=package,
        names=_positional_names(function, bound),
        **context_of(function, args, kwargs, package),
    )


def capture_batch(function, items, args, kwargs, size):
    """Return a Call of ``function(item, *args, **kwargs)`` for each item.

    ``items``: a list. ``size``: how many of them are one transaction.
    Raises as ``capture_call``; the error names the index of the item.
    """
    first = items[0] if items else None
    bound = check_call(function, (first, *args), kwargs)
    try:
        package = pack((function, args, kwargs))
    except NotPortable as error:
        _blame(function, bound, (first, *args), kwargs)
        raise NotPortable(f"{dotted_name(function)}: {error}") from error
    return Call(
        kind=BATCH,
        name=dotted_name(function),
        package=package,
        names=_positional_names(function, bound)[1:],
        items=tuple(
            pack_named(f"item {index} of {dotted_name(function)}", item)
            for index, item in enumerate(items)
        ),
        size=size,
        **context_of(function, args, kwargs, package),
    )


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
        _try("context", context)
        for key, value in form.items():
            _try(f"form[{key!r}]", value)
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
            _try(f"argument {key!r}", value)
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


def check_call(function, args, kwargs):
    """Return how the arguments are called: BoundArguments, or None if nobody knows.

    Raises BadCall for what is not callable, or not with these arguments, or
    would do nothing when called.
    """
    plain = function
    if isinstance(function, types.MethodType):
        plain, args = function.__func__, (function.__self__, *args)
    try:
        signature = _signatures[plain]  # of what was checked before
    except (KeyError, TypeError):  # TypeError: it cannot be a key
        check_function(function)
        signature = _signature(plain)
    if signature is None:
        return None
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        raise BadCall(f"{dotted_name(function)}(): {error}") from error


def _positional_names(function, bound):
    """Return the names of the arguments that can be given without theirs.

    Without that of a method's object. The last one may be that of many (``*args``).
    """
    if bound is None:
        return ()
    names = tuple(
        name
        for name, parameter in bound.signature.parameters.items()
        if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
    )
    return names[1:] if isinstance(function, types.MethodType) else names


def check_function(function):
    """Raise BadCall for what is not callable, or would do nothing when called."""
    # A wrapper of Acquisition always looks callable.
    if not callable(aq_base(function)):
        raise BadCall(f"{function!r} is not callable")
    runs = _what_runs(function)
    if inspect.iscoroutinefunction(runs):
        raise BadCall(f"{dotted_name(function)} is a coroutine function")
    if inspect.isgeneratorfunction(runs) or inspect.isasyncgenfunction(runs):
        raise BadCall(
            f"{dotted_name(function)} is a generator: calling it runs nothing of it"
        )


def _what_runs(function):
    """Return the function that runs when ``function`` is called."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, type) or inspect.isroutine(function):
        return function
    return function.__call__


def _signature(function):
    """Return and remember a signature; None of many functions written in C."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    if isinstance(function, types.FunctionType):
        _signatures[function] = signature
    return signature


def dotted_name(function):
    """Return ``package.module.Class.method`` of a callable."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, types.MethodType):
        owner = type(aq_base(function.__self__))
        return f"{owner.__module__}.{owner.__qualname__}.{function.__name__}"
    if not hasattr(function, "__qualname__"):
        function = type(aq_base(function))
    # A method of a built-in type, as str.upper, has no module of its own.
    module = getattr(function, "__objclass__", function).__module__
    return f"{module}.{function.__qualname__}"


def _blame(function, bound, args, kwargs):
    """Raise a NotPortable that names what of a call cannot be carried."""
    _try(f"the callable {dotted_name(function)}", function)
    # By their names if they are known, which is not so in a function of C.
    by_name = {} if bound is None else bound.arguments
    named = {**kwargs, **by_name, **dict(enumerate(args, 1))}
    for name, value in named.items():
        _try(f"argument {name!r} of {dotted_name(function)}", value)


def _try(what, value):
    pack_named(what, value).close()


def pack_named(what, value):
    """Return a Package. Raises NotPortable, which says ``what`` it is."""
    try:
        return pack(value)
    except NotPortable as error:
        raise NotPortable(f"{what} cannot be carried to a task: {error}") from error
