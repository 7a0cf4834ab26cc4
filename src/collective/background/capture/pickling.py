"""What is carried from one thread to another, and how.

Everything that a task takes along, or returns, is pickled: persistent objects
as references, new ones by value, uploads and blobs as spools. So no ZODB object crosses
threads, and what cannot be carried is found out while the caller can still be
told.

Comes in: any object. Goes out: a Package; ``unpickling`` makes the object of it
again. Called by ``capture/call.py``, ``capture/snapshot.py`` and
``running/outcome.py``.
"""

from Acquisition import aq_base
from collective.background.capture.files import take_blob
from collective.background.capture.files import take_upload
from collective.background.capture.functions import CapturedFunction
from collective.background.capture.functions import is_importable
from collective.background.capture.functions import is_of_main
from collective.background.capture.functions import values_in
from collective.background.capture.package import Package
from collective.background.capture.persistence import check_no_content
from collective.background.capture.persistence import is_stored
from collective.background.capture.persistence import reduce_tree
from collective.background.capture.reference import describe
from collective.background.capture.reference import refer_to
from collective.background.capture.refusals import check_method
from collective.background.capture.refusals import check_value
from collective.background.exceptions import NotPortable
from collective.background.model.outages import is_outage
from collective.background.model.spool import Spool
from datetime import date
from datetime import datetime
from decimal import Decimal
from persistent import Persistent
from transaction.interfaces import TransientError
from ZODB.blob import Blob
from ZPublisher.HTTPRequest import FileUpload

import io
import pickle
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


def pack(obj):
    """Return a Package of ``obj``.

    Raises NotPortable, with the reason, when it cannot be carried.
    """
    return _pack(obj, _Pickler, {})


def pack_named(what, value):
    """Return a Package. Raises NotPortable, which says ``what`` it is."""
    try:
        return pack(value)
    except NotPortable as error:
        raise NotPortable(f"{what} cannot be carried to a task: {error}") from error


def check_portable(what, value):
    """Raise NotPortable, which says ``what`` a value is, if it cannot be carried."""
    pack_named(what, value).close()


def _pack(obj, pickler_class, functions):
    buffer = io.BytesIO()
    pickler = pickler_class(buffer, functions)
    try:
        pickler.dump(obj)
    except BaseException as error:
        for spool in pickler.spools:
            spool.close()
        if _tells_of_obj(error):
            raise NotPortable(f"{type(error).__name__}: {error}") from error
        raise
    return Package(
        data=buffer.getvalue(),
        spools=tuple(pickler.spools),
        references=tuple(pickler.references),
        live=tuple(pickler.live),
        local=tuple(pickler.local),
        has_persistent=pickler.has_persistent,
    )


def _tells_of_obj(error):
    """Whether an error was raised because something cannot be pickled."""
    return isinstance(error, Exception) and not (
        isinstance(error, (NotPortable, TransientError)) or is_outage(error)
    )


class _Pickler(pickle.Pickler):
    """Makes references of persistent objects, and refuses what must not travel.

    ``functions``: those that were captured on the way here, by their id.
    """

    def __init__(self, buffer, functions):
        super().__init__(buffer, PROTOCOL)
        self._functions = functions
        self._files = {}  # (number of the spool, its original), by the id of that
        self.spools = []
        self.references = []
        self.live = []
        self.local = []
        self.has_persistent = False
        self._has_saved = False  # all that is to be stored has an identity now

    def persistent_id(self, obj):
        if type(obj) in VALUES:
            return None
        if is_of_main(obj):
            named = obj if hasattr(obj, "__name__") else type(obj)
            self.local.append(f"{obj.__module__}.{named.__name__}")
        if isinstance(obj, type):
            return None if is_importable(obj) else self._class_id(obj)
        if isinstance(obj, types.FunctionType):
            return None if is_importable(obj) else self._function_id(obj)
        if isinstance(aq_base(obj), Persistent):
            return self._reference_id(obj)
        if isinstance(obj, types.MethodType):
            check_method(obj)
        elif isinstance(obj, FileUpload):
            return self._spool_id("upload", obj, take_upload)
        elif isinstance(obj, Spool):
            return self._spool_id("spool", obj, Spool.share)
        else:
            check_value(obj)
        return None

    def reducer_override(self, obj):
        return reduce_tree(obj)

    def _reference_id(self, obj):
        self.has_persistent = True
        if not (is_stored(obj) or self._has_saved):
            # It may have been added in this very transaction.
            transaction.savepoint(optimistic=True)
            self._has_saved = True
        if is_stored(obj):
            self.references.append(refer_to(obj))
            return ("reference", len(self.references) - 1)
        check_no_content(obj)
        if isinstance(obj, Blob):
            return self._spool_id("blob", obj, take_blob)
        return None  # a value, such as a new PersistentMapping

    def _spool_id(self, kind, obj, capture):
        if id(obj) not in self._files:
            self._files[id(obj)] = (len(self.spools), obj)
            self.spools.append(capture(obj))
        return (kind, self._files[id(obj)][0])

    def _function_id(self, function):
        captured = self._functions.get(id(function))
        if captured is None:
            captured = CapturedFunction(function)
            self._functions[id(function)] = captured
            pickler_class = self._inner()
            captured.capture(lambda obj: _pack(obj, pickler_class, self._functions))
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


def _check_class(cls, seen):
    """Raise NotPortable if ZODB objects are found in a class.

    ``seen``: the functions and classes that were looked into, by their id.
    """
    seen[id(cls)] = cls
    try:
        for value in values_in(cls):
            _pack(value, _ClassPickler, seen)
    except NotPortable as error:
        raise NotPortable(
            f"the class {cls.__qualname__} cannot be imported by its name, and "
            f"cannot be shared: {error}"
        ) from error
