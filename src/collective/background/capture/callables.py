"""Callables: what can be called, with which arguments, and by which name.

Comes in: a callable and its arguments, before anything of them is carried.
"""

from Acquisition import aq_base
from collective.background.exceptions import BadCall
from sys import intern
from weakref import WeakKeyDictionary

import functools
import inspect
import types


# It takes longer to find out than a call to be packed.
_signatures = WeakKeyDictionary()


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


def positional_names(function, bound):
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


def _owner(function):
    """Return the class of which a callable is a bound method, or None."""
    if not isinstance(function, types.MethodType | types.BuiltinMethodType):
        return None
    bound_to = function.__self__
    if bound_to is None or isinstance(bound_to, types.ModuleType):
        return None  # a function of a module that is not written in Python
    return bound_to if isinstance(bound_to, type) else type(aq_base(bound_to))


def dotted_name(function):
    """Return ``package.module.Class.method`` of a callable."""
    while isinstance(function, functools.partial):
        function = function.func
    owner = _owner(function)
    if owner is not None:
        return intern(f"{owner.__module__}.{owner.__qualname__}.{function.__name__}")
    if not hasattr(function, "__qualname__"):
        function = type(aq_base(function))
    # A method of a built-in type, as str.upper, has no module of its own.
    module = getattr(function, "__objclass__", function).__module__
    return intern(f"{module}.{function.__qualname__}")  # tasks share the text
