"""What is carried from one thread to another, and how.

Everything that a task takes along, or returns, is pickled: persistent objects
as references, uploads as spools, the rest by value. So no ZODB object crosses
threads, and what cannot be carried is found out while the caller can still be
told.

Comes in: any object (``pack``). Goes out: a Package; ``unpack`` makes the
object of it again, in the connection of another thread. Called by
``capture/call.py``, ``capture/snapshot.py`` and ``running/outcome.py``.
"""

from Acquisition import aq_base
from collective.background.capture.files import take_upload
from collective.background.capture.reference import describe
from collective.background.capture.reference import refer_to
from collective.background.capture.reference import resolve
from collective.background.exceptions import NotPortable
from collective.background.model.spool import Spool
from collective.background.zopecompat import is_annotations_behavior
from collective.background.zopecompat import is_of_catalog
from collective.background.zopecompat import make_upload
from datetime import date
from datetime import datetime
from decimal import Decimal
from persistent import Persistent
from transaction.interfaces import TransientError
from ZODB.Connection import Connection
from zope.publisher.interfaces import IRequest
from zope.publisher.interfaces import IView
from ZPublisher.BaseRequest import BaseRequest
from ZPublisher.BaseResponse import BaseResponse
from ZPublisher.HTTPRequest import FileUpload

import io
import pickle
import sys
import threading
import transaction
import types


# Not by a higher one on our own account: it has to be what all Pythons of a
# cluster can read.
PROTOCOL = pickle.DEFAULT_PROTOCOL

# Types whose objects need no further look, only their contents.
VALUES = frozenset(
    {type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset}
    | {date, datetime, Decimal}
)

LOCKS = (type(threading.Lock()), type(threading.RLock()))


class Package:
    """Something that was packed.

    - ``data``: the pickle
    - ``spools``: uploads and long bytes that it refers to, closed by ``close``
    - ``live``: functions without a name and the like, which only this process
      can unpack
    - ``references``: the References of persistent objects, as they were met;
      those in ``live`` functions are not among them
    """

    __slots__ = ("data", "live", "references", "spools")

    def __init__(self, data, spools, live, references):
        self.data = data
        self.spools = spools
        self.live = live
        self.references = references

    @property
    def refers(self):
        """Whether there is any persistent object in it."""
        return bool(self.references) or any(
            isinstance(obj, _CapturedFunction) and obj.refers for obj in self.live
        )

    def close(self):
        for spool in self.spools:
            spool.close()


def pack(obj):
    """Return a Package of ``obj``.

    Raises NotPortable, with the reason, when it cannot be carried.
    """
    return _pack(obj, _Pickler, {})


def _pack(obj, pickler_class, functions):
    buffer = io.BytesIO()
    pickler = pickler_class(buffer, functions)
    try:
        pickler.dump(obj)
    except BaseException as error:
        for spool in pickler.spools:
            spool.close()
        if isinstance(error, Exception) and not isinstance(
            error, (NotPortable, TransientError)
        ):
            raise NotPortable(f"{type(error).__name__}: {error}") from error
        raise
    return Package(
        buffer.getvalue(),
        tuple(pickler.spools),
        tuple(pickler.live),
        tuple(pickler.references),
    )


def unpack(package, app):
    """Return the object that was packed.

    ``app``: the application in whose connection references are resolved; None
    where there is no database. Raises ReferenceGone, and whatever the loading
    of a class or of its state raises.
    """
    return Unpickler(package, app, {}).load()


class _Pickler(pickle.Pickler):
    """Makes references of persistent objects, and refuses what must not travel.

    ``functions``: those that were captured on the way here, by their id.
    """

    def __init__(self, buffer, functions):
        super().__init__(buffer, PROTOCOL)
        self._functions = functions
        self.spools = []
        self.live = []
        self.references = []

    def persistent_id(self, obj):
        if type(obj) in VALUES:
            return None
        if isinstance(obj, type):
            return None if _is_importable(obj) else self._class_id(obj)
        if isinstance(obj, types.FunctionType):
            return None if _is_importable(obj) else self._function_id(obj)
        if isinstance(aq_base(obj), Persistent):
            return self._reference_id(obj)
        if isinstance(obj, types.MethodType):
            _check_method(obj)
        elif isinstance(obj, FileUpload):
            return self._spool_id("upload", take_upload(obj))
        elif isinstance(obj, Spool):
            return self._spool_id("spool", obj.share())
        else:
            _refuse(obj)
        return None

    def _reference_id(self, obj):
        base = aq_base(obj)
        if base._p_oid is None or base._p_jar is None:
            # It may have been added in this very transaction.
            transaction.savepoint(optimistic=True)
        if base._p_oid is None or base._p_jar is None:
            if hasattr(base, "getPhysicalPath"):
                raise NotPortable(
                    f"{describe(obj)} is not stored in the database: add it to a "
                    "folder first, or pass what it is made of"
                )
            return None  # a value, such as a new PersistentMapping
        self.references.append(refer_to(obj))
        return ("reference", len(self.references) - 1)

    def _spool_id(self, kind, captured):
        self.spools.append(captured)
        return (kind, len(self.spools) - 1)

    def _function_id(self, function):
        captured = self._functions.get(id(function))
        if captured is None:
            captured = _CapturedFunction(function)
            self._functions[id(function)] = captured
            captured.capture(self._functions, self._inner())
        return self._live_id(captured)

    def _inner(self):
        """Return the class of the picklers for what a function closes over."""
        return _ClosurePickler

    def _class_id(self, cls):
        _check_class(cls, {})
        return self._live_id(cls)

    def _live_id(self, obj):
        self.live.append(obj)
        return ("live", len(self.live) - 1)


class _ClosurePickler(_Pickler):
    """Finds the ZODB objects in what a function closes over.

    Locks and modules are let through: they stay where they are.
    """

    def persistent_id(self, obj):
        if isinstance(obj, (*LOCKS, types.ModuleType)):
            return self._live_id(obj)
        return super().persistent_id(obj)


class _ClassPickler(_ClosurePickler):
    """Looks for ZODB objects in a class that cannot be imported.

    Such a class stays what it is in every thread, so it must not have any.
    """

    def _reference_id(self, obj):
        raise NotPortable(
            f"{describe(obj)} would be shared between threads; give it to the "
            "objects of the class, as an attribute"
        )

    def _inner(self):
        return _ClassPickler

    def _class_id(self, cls):
        if id(cls) not in self._functions:
            _check_class(cls, self._functions)
        return self._live_id(cls)


class Unpickler(pickle.Unpickler):
    """Makes the object of a Package again.

    ``functions``: the captured functions that were restored already.
    """

    def __init__(self, package, app, functions):
        super().__init__(io.BytesIO(package.data))
        self._package = package
        self._app = app
        self._functions = functions

    def persistent_load(self, pid):
        kind, value = pid
        if kind == "reference":
            return resolve(self._package.references[value], self._app)
        if kind == "upload":
            return make_upload(self._package.spools[value])
        if kind == "spool":
            return self._package.spools[value].share()
        live = self._package.live[value]
        if isinstance(live, _CapturedFunction):
            return live.restore(self._app, self._functions)
        return live


class _CapturedFunction:
    """A function without a name, with what it closes over or has as defaults.

    A variable in which a ZODB object was found is carried as a Package; any
    other stays shared with the caller, as in every thread. Where nothing has
    to be carried, the function itself is called, else a new one for every
    attempt.
    """

    def __init__(self, function):
        self._function = function
        self._variables = {}
        # Until it is known: two functions that know each other are restored.
        self.refers = True

    def __str__(self):
        return f"function {self._function.__qualname__}"

    def capture(self, functions, pickler_class):
        """Look into the variables. ``functions``: see _Pickler."""
        function = self._function
        for name, value in _variables(function):
            if value is function:
                continue
            try:
                package = _pack(value, pickler_class, functions)
            except NotPortable as error:
                raise NotPortable(
                    f"the function {function.__qualname__} uses a variable "
                    f"{name!r} of its surroundings that cannot be carried: {error}"
                ) from error
            if package.refers:
                self._variables[name] = package
        self.refers = bool(self._variables)

    def restore(self, app, functions):
        """Return the function to call. ``functions``: see Unpickler."""
        function = self._function
        if not self.refers:
            return function
        if self in functions:
            return functions[self]
        code = function.__code__
        cells = tuple(types.CellType() for _ in code.co_freevars)
        restored = functions[self] = types.FunctionType(
            code, function.__globals__, function.__name__, None, cells
        )
        values = dict(_variables(function))
        for name, package in self._variables.items():
            values[name] = Unpickler(package, app, functions).load()
        for name, cell in zip(code.co_freevars, cells, strict=True):
            if name in values:
                value = values[name]
                cell.cell_contents = restored if value is function else value
        if function.__defaults__ is not None:
            names = _default_names(function)
            restored.__defaults__ = tuple(values[name] for name in names)
        if function.__kwdefaults__ is not None:
            restored.__kwdefaults__ = {n: values[n] for n in function.__kwdefaults__}
        restored.__qualname__ = function.__qualname__
        return restored


def _variables(function):
    """Yield (name, value) of the closure and the defaults of a function."""
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from zip(_default_names(function), function.__defaults__ or (), strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def _default_names(function):
    """Return the names of the positional arguments that have defaults."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    return names[len(names) - len(function.__defaults__ or ()) :]


def _is_importable(obj):
    """Whether a class or function is what its dotted name stands for."""
    found = sys.modules.get(getattr(obj, "__module__", None) or "")
    if found is None:
        return False
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def _check_class(cls, seen):
    """Raise NotPortable if ZODB objects are found in a class.

    ``seen``: the functions and classes that were looked into, by their id.
    """
    seen[id(cls)] = cls
    try:
        for value in _values_in(cls):
            _pack(value, _ClassPickler, seen)
    except NotPortable as error:
        raise NotPortable(
            f"the class {cls.__qualname__} cannot be imported by its name, and "
            f"cannot be shared: {error}"
        ) from error


def _values_in(cls):
    """Yield the functions and the persistent objects of a class and its bases."""
    for base in cls.__mro__:
        if _is_importable(base):
            continue
        for value in vars(base).values():
            if isinstance(value, property):
                yield from filter(None, (value.fget, value.fset, value.fdel))
                continue
            value = getattr(value, "__func__", value)  # of class and static methods
            if isinstance(aq_base(value), types.FunctionType | Persistent):
                yield value


def _check_method(method):
    """Raise NotPortable unless the method can be bound again by its name."""
    owner, name = method.__self__, method.__func__.__name__
    found = getattr(owner, name, None)
    if getattr(found, "__func__", None) is not method.__func__:
        raise NotPortable(
            f"the method {name} of {describe(owner)} cannot be bound again: "
            f"its attribute {name!r} is not that method (it is private, "
            "decorated under another name, or of a base class)"
        )


def _refuse(obj):
    """Raise NotPortable for what can be pickled in part, but must not travel."""
    if isinstance(obj, BaseRequest) or IRequest.providedBy(obj):
        raise NotPortable(
            "a request ends with its thread; pass the values that you need of it "
            "(the task has a request of its own, with the same form)"
        )
    if isinstance(obj, BaseResponse):
        raise NotPortable("a response ends with its request")
    if IView.providedBy(obj) and not isinstance(obj, Persistent):
        raise NotPortable(
            f"the view {type(obj).__name__} is bound to its request; schedule a "
            "function or a method of its context, or use schedule_view()"
        )
    if is_annotations_behavior(obj):
        raise NotPortable(
            "a behaviour that keeps its values in annotations cannot be bound again; "
            "pass the content, and adapt it in the task"
        )
    if is_of_catalog(obj):
        raise NotPortable(
            "what a catalog has found is bound to its connection; pass "
            "brain.getObject(), brain.UID or brain.getPath() of each brain"
        )
    if isinstance(obj, Connection):
        raise NotPortable("a ZODB connection belongs to one thread")
