"""Forks: what a child process must not take over from its parent.

Threads are not copied, but their locks are, as they were at that moment: one that
another thread had would be waited for without an end.
"""

from weakref import WeakMethod

import os


_methods = set()


def in_child(method):
    """Let a bound method be called in every child of a fork.

    ``method``: without arguments. Forgotten together with its object.
    """
    _methods.add(WeakMethod(method, _methods.discard))


def _call_methods():
    for reference in list(_methods):
        method = reference()
        if method is not None:
            method()


os.register_at_fork(after_in_child=_call_methods)
