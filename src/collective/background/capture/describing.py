"""The arguments of a call as texts, for managers who look at a task.

Comes in: a Call. Goes out: names and texts; secrets are left out, and nothing is
read from the database. Called by the scheduler.
"""

from collections import deque
from collections.abc import Mapping
from collective.background.capture.call import BATCH
from collective.background.capture.call import EXTERNAL
from collective.background.capture.call import REQUEST
from collective.background.capture.call import VIEW
from collective.background.capture.secrets import are_headers
from collective.background.capture.secrets import HIDDEN
from collective.background.capture.secrets import is_known_header
from collective.background.capture.secrets import is_secret
from collective.background.capture.secrets import without_secrets
from collective.background.capture.unpickling import Unpickler
from collective.background.model.messages import portable_line
from collective.background.model.messages import portable_text
from dataclasses import fields
from dataclasses import is_dataclass
from DateTime import DateTime
from enum import Enum
from functools import partial
from reprlib import Repr
from types import FunctionType
from types import MethodType
from types import ModuleType

import json
import logging


logger = logging.getLogger(__name__)

MAX_ARGUMENTS = 50
MAX_LENGTH = 300  # characters of one
MAX_TEXT = 10 * MAX_LENGTH  # characters that are looked through for secrets
MAX_LEVEL = 4  # of what is inside of another

BUILTIN = (str, bytes, bytearray, memoryview, int, float, complex, list, tuple, set)
BUILTIN += (frozenset, deque, type, FunctionType, MethodType, ModuleType)
# What their repr() tells is all that they are, and no secret.
SAYING_ALL = (Enum, DateTime, partial, BaseException)


def describe_arguments(call):
    """Return (name, text) of each argument, as a tuple.

    The entries of a mapping, and the fields of an object, are arguments of their own,
    by the name ``argument.entry``. What is too much, or too long, is cut off.
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
    described = tuple((name, _show(value)) for name, value in flat[:MAX_ARGUMENTS])
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
    if call.kind == EXTERNAL:
        payload, queue = rest
        return [("payload", json.loads(payload)), ("celery_queue", queue)]
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
    """Yield (name, value) of an argument, or of what it consists of."""
    value = _shown(name, value)
    found = _fields(value)
    if found is None:
        yield portable_line(name), value
        return
    for key, entry in found:
        yield portable_line(f"{name}.{key}"), _shown(key, entry)


def _shown(name, value):
    """Return the value of a name, or what is shown instead of it."""
    if is_secret(name):
        return HIDDEN
    if not are_headers(name):
        return value
    if isinstance(value, list | tuple) and all(map(_is_pair, value)):
        value = dict(value)
    if not isinstance(value, Mapping):
        return value
    return {k: v if is_known_header(k) else HIDDEN for k, v in value.items()}


def _fields(value):
    """Return (name, value) of what an object has of its own; None if that is nothing.

    So its own ``repr()``, which may tell anything, is not needed.
    """
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named one
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, (*BUILTIN, *SAYING_ALL, Placeholder)):
        return None
    if is_dataclass(value):  # it may have slots
        names = [field.name for field in fields(value)]
    elif hasattr(value, "__attrs_attrs__"):
        names = [field.name for field in value.__attrs_attrs__]
    else:
        return list(getattr(value, "__dict__", {}).items()) or None
    return [(name, getattr(value, name, None)) for name in names]


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
        self.maxlevel = MAX_LEVEL
        self.maxstring = self.maxother = self.maxlong = MAX_LENGTH // 2
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = 10

    def repr1(self, x, level):
        # Of whatever class: it goes by the name of the class otherwise.
        if isinstance(x, str):
            return self.repr_str(without_secrets(str.__str__(x[:MAX_TEXT])), level)
        if isinstance(x, bytes | bytearray | memoryview):
            return f"<{len(x)} bytes>"
        found = _fields(x)
        if found is not None:
            return self._repr_fields(x, found, level)
        if _is_pair(x):
            x = type(x)((x[0], _shown(*x)))
        return super().repr1(x, level)

    def _repr_fields(self, x, found, level):
        if level <= 0:
            return self.fillvalue
        is_mapping = isinstance(x, Mapping)
        parts = [
            (self.repr1(name, level - 1) + ": " if is_mapping else f"{name}=")
            + self.repr1(_shown(name, value), level - 1)
            for name, value in found[: self.maxdict]
        ]
        if len(found) > self.maxdict:
            parts.append(self.fillvalue)
        text = ", ".join(parts)
        return f"{{{text}}}" if is_mapping else f"{type(x).__name__}({text})"

    def repr_instance(self, x, level):
        try:
            return without_secrets(super().repr_instance(x, level))
        except Exception as error:  # of the class: anything
            return f"<{type(x).__name__}, which cannot be shown: {error}>"


def _is_pair(x):
    """Whether it may be a name and its value."""
    return type(x) in (list, tuple) and len(x) == 2 and isinstance(x[0], str)


def _show(value):
    if isinstance(value, str):
        text = without_secrets(str.__str__(value[:MAX_TEXT]))
    else:
        text = _Repr().repr(value)
    return portable_text(text, MAX_LENGTH + 1)
