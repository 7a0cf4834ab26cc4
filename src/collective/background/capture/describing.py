"""The arguments of a call as texts, for managers who look at a task.

Comes in: a Call. Goes out: names and texts; secrets are left out, and nothing is
read from the database. Called by the scheduler.
"""

from collections.abc import Mapping
from collective.background.capture.call import BATCH
from collective.background.capture.call import REQUEST
from collective.background.capture.call import VIEW
from collective.background.capture.unpickling import Unpickler
from reprlib import Repr

import logging
import re


logger = logging.getLogger(__name__)

# What a name has in it whose value is not shown. "auth" and "cookie" are arguments
# of requests.
SECRET_NAMES = ("password", "token", "secret", "key", "auth", "cookie")
HIDDEN = "•••"

# In an address: "user:password@", as proxies and databases have it.
CREDENTIALS = re.compile(r"//[^/@\s]+@")

MAX_ARGUMENTS = 50
MAX_LENGTH = 300  # characters of one


def is_secret(name, further=()):
    """Whether the value of an argument is not to be shown.

    ``further``: what must not be in the name either; upper and lower case are the
    same.
    """
    name = str(name).lower()
    return any(part.lower() in name for part in (*SECRET_NAMES, *further))


def describe_arguments(call):
    """Return (name, text) of each argument, as a tuple.

    The entries of a mapping are arguments of their own, by the name
    ``argument.entry``. What is too much, or too long, is cut off.
    """
    try:
        return _describe(call)
    except Exception as error:  # of the classes of the arguments: anything
        logger.debug("arguments of %s cannot be shown", call.name, exc_info=True)
        return (("", f"cannot be shown: {type(error).__name__}"),)


def _describe(call):
    flat = [
        entry for name, value in _arguments(call) for entry in _flatten(name, value)
    ]
    described = tuple(
        (name, HIDDEN if is_secret(name) else _show(value))
        for name, value in flat[:MAX_ARGUMENTS]
    )
    left = len(flat) - MAX_ARGUMENTS
    return (*described, ("…", f"and {left} more")) if left > 0 else described


def _arguments(call):
    """Return (name, value) of the arguments of a call of any kind."""
    _what, *rest = _load(call.package)
    if call.kind == VIEW:
        _steps, form = rest
        body = call.view.body.size
        return [*form.items(), *([("body", f"{body} bytes")] if body else [])]
    if call.kind == REQUEST:
        # Not the address: its query may hold a token. The name of the call has it.
        _url, kwargs = rest
        return list(kwargs.items())
    args, kwargs = rest
    named = list(zip(_names(call.names, len(args)), args, strict=True))
    if call.kind == BATCH:
        named.insert(0, ("items", [_load(item) for item in call.items[:3]]))
        named.insert(1, ("number of items", len(call.items)))
    return [*named, *kwargs.items()]


def _names(names, count):
    """Yield the names of the first ``count`` arguments; numbers if unknown."""
    for index in range(count):
        yield names[min(index, len(names) - 1)] if names else str(index + 1)


def _flatten(name, value):
    if isinstance(value, Mapping) and not is_secret(name):
        for key, entry in value.items():
            yield f"{name}.{key}", entry
    else:
        yield name, value


def _load(package):
    return _DisplayUnpickler(package, None, {}).load()


class _DisplayUnpickler(Unpickler):
    """Puts a Placeholder where a persistent object, a file or a function was."""

    def persistent_load(self, pid):
        kind, value = pid
        if kind == "reference":
            return Placeholder(str(self._package.references[value]))
        if kind == "upload":
            upload = self._package.spools[value]
            return Placeholder(f"file {upload.filename!r}, {upload.spool.size} bytes")
        if kind in ("spool", "blob"):
            return Placeholder(f"{self._package.spools[value].size} bytes")
        return Placeholder(str(self._package.live[value]))


class Placeholder:
    """Something that is not loaded for the sake of its description."""

    def __init__(self, text):
        self._text = text

    def __repr__(self):
        return f"<{self._text}>"

    def __getattr__(self, name):
        # A method is pickled as the attribute of its object.
        if name.startswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self._text}.{name}")


class _Repr(Repr):
    """Shows values in few characters, and no secrets."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = MAX_LENGTH // 2
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = 10

    def repr1(self, x, level):
        # Of whatever class: it goes by the name of the class otherwise.
        if isinstance(x, Mapping):
            return self.repr_dict(x, level)
        return super().repr1(x, level)

    def repr_str(self, x, level):
        return super().repr_str(_hide(x), level)

    def repr_dict(self, x, level):
        hidden = {key: HIDDEN if is_secret(key) else x[key] for key in x}
        return super().repr_dict(hidden, level)

    def repr_instance(self, x, level):
        try:
            return super().repr_instance(x, level)
        except Exception as error:  # of the class: anything
            return f"<{type(x).__name__}, which cannot be shown: {error}>"


def _hide(text):
    return CREDENTIALS.sub(f"//{HIDDEN}@", text)


def _show(value):
    text = _hide(value) if isinstance(value, str) else _Repr().repr(value)
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"
