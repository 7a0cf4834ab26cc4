"""The content at which people see a task.

Comes in: a call, with what it is called with. Goes out: path and UID, for the fields
of the Call and of its record. Called by ``capture/call.py``, and by the schedulers for
the option ``context``.
"""

from Acquisition import aq_base
from collective.background.capture.pickling import pack
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable

import functools


def context_of(function, args, kwargs, package):
    """Return the fields ``context_path`` and ``context_uid``; none, if there are none.

    They are those of the content that a method is bound to, or else of the first
    argument that is content. ``package``: the Package of all of them.
    """
    while isinstance(function, functools.partial):
        args = function.args + tuple(args)
        kwargs = {**function.keywords, **kwargs}
        function = function.func
    owner = getattr(function, "__self__", None)
    for candidate in (owner, *args, *kwargs.values()):
        oid = getattr(aq_base(candidate), "_p_oid", None)
        for reference in package.references:
            if reference.oid == oid and reference.path is not None:
                return context_fields(reference)
    return {}


def chosen_context(content):
    """Return the same fields for content that was chosen with ``using(context=…)``.

    Raises BadOption for what is not stored, or has no place below the root.
    """
    try:
        package = pack(content)
    except NotPortable as error:
        raise BadOption(f"context is {content!r}: {error}") from error
    reference = next(iter(package.references), None)  # none of what is never stored
    if reference is None or reference.path is None:
        raise BadOption(
            f"context is {content!r}, without its folder; pass what a view or the "
            "catalog has, or what api.content.get() returns"
        )
    return context_fields(reference)


def context_fields(reference):
    """Return them for a Reference that has a path."""
    return {
        "context_path": "/".join(reference.path),
        "context_uid": reference.uid,
    }
