"""Forks: what a child process must not take over from its parent.

Threads are not copied, but their locks are, as they were at that moment: one that
another thread had would be waited for without an end.
"""

from weakref import WeakKeyDictionary

import os


# Names of methods, by their objects. No WeakMethods: those that are left at the end of
# the interpreter write tracebacks to standard error (Python 3.11).
_methods = WeakKeyDictionary()


def in_child(method):
    """Let a bound method be called in every child of a fork.

    ``method``: without arguments; one for each object, with which it is forgotten.
    """
    _methods[method.__self__] = method.__name__


def _call_methods():
    for obj, name in list(_methods.items()):
        getattr(obj, name)()


os.register_at_fork(after_in_child=_call_methods)
