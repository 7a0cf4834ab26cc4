"""Calls: what a task will do, taken along from the request.

Comes in: a callable and its arguments. Goes out: a Call. Those of views and of web
servers are made by ``web``, those of workers elsewhere by ``external``. Called by
``api/scheduling.py``; ``running/kinds.py`` makes it happen.
"""

from collective.background.capture.callables import check_call
from collective.background.capture.callables import dotted_name
from collective.background.capture.callables import positional_names
from collective.background.capture.context import context_of
from collective.background.capture.package import Package
from collective.background.capture.pickling import check_portable
from collective.background.capture.pickling import pack
from collective.background.capture.pickling import pack_named
from collective.background.exceptions import NotPortable
from collective.background.model.options import Options
from collective.background.model.spool import Spool
from dataclasses import dataclass


CALL = "call"
VIEW = "view"
REQUEST = "request"
BATCH = "batch"
EXTERNAL = "external"


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

    - ``kind``: "call", "view", "request", "batch" or "external"
    - ``name``: dotted name of the callable, or path of the view, or URL, or name of a
      task of Celery
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
        names=positional_names(function, bound),
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
        names=positional_names(function, bound)[1:],
        items=tuple(
            pack_named(f"item {index} of {dotted_name(function)}", item)
            for index, item in enumerate(items)
        ),
        size=size,
        **context_of(function, args, kwargs, package),
    )


def _blame(function, bound, args, kwargs):
    """Raise a NotPortable that names what of a call cannot be carried."""
    check_portable(f"the callable {dotted_name(function)}", function)
    # By their names if they are known, which is not so in a function of C.
    by_name = {} if bound is None else bound.arguments
    named = {**kwargs, **by_name, **dict(enumerate(args, 1))}
    for name, value in named.items():
        check_portable(f"argument {name!r} of {dotted_name(function)}", value)
