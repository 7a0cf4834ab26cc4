"""Functions and classes: which have names, and what is carried of the others.

Another thread can call any function, but what that closes over may belong to the
thread of the caller. Used by the picklers of ``capture/pickling.py``.
"""

from Acquisition import aq_base
from collective.background.exceptions import NotPortable
from persistent import Persistent

import sys
import types


# The names of the main module; the second one in what multiprocessing has started.
MAIN = ("__main__", "__mp_main__")


class CapturedFunction:
    """A function without a name, with what it closes over or has as defaults.

    A variable in which a persistent object or a file of the request was found is
    carried as a Package; any other stays shared with the caller, as in every thread.
    Where nothing has to be carried, the function itself is called, else a new one for
    every attempt.
    """

    def __init__(self, function):
        self._function = function
        self._variables = {}
        # Until it is known: two functions that know each other are restored.
        self.is_bound = True

    def __str__(self):
        return f"function {self._function.__qualname__}"

    def capture(self, pack):
        """Look into the variables. ``pack``: returns the Package of a value."""
        function = self._function
        for name, value in _variables(function):
            if value is function:
                continue
            try:
                package = pack(value)
            except NotPortable as error:
                raise NotPortable(
                    f"the function {function.__qualname__} uses a variable "
                    f"{name!r} of its surroundings that cannot be carried: {error}"
                ) from error
            if package.is_bound:
                self._variables[name] = package
        self.is_bound = bool(self._variables)

    def restore(self, unpack, functions):
        """Return the function to call.

        ``unpack``: returns the value of a Package. ``functions``: see Unpickler.
        """
        function = self._function
        if not self.is_bound:
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
            values[name] = unpack(package)
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

    @property
    def packages(self):
        """The Packages of the variables that are carried."""
        return tuple(self._variables.values())


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


def is_of_main(obj):
    """Whether a class, function or interface is of the program's main module."""
    return getattr(obj, "__module__", None) in MAIN


def is_importable(obj):
    """Whether a class or function is what its dotted name stands for."""
    found = sys.modules.get(getattr(obj, "__module__", None) or "")
    if found is None:
        return False
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def values_in(cls):
    """Yield the functions and the persistent objects of a class and its bases."""
    for base in cls.__mro__:
        if is_importable(base):
            continue
        for value in vars(base).values():
            if isinstance(value, property):
                yield from filter(None, (value.fget, value.fset, value.fdel))
                continue
            value = getattr(value, "__func__", value)  # of class and static methods
            if isinstance(aq_base(value), types.FunctionType | Persistent):
                yield value
