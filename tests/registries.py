"""The registries of components, which tests change while tasks look things up in them.

A server changes them only while it starts, so zope.interface does not care. But what is
being looked up while somebody registers something would be an error for either, or for
whoever changes the registry the next time.
"""

from functools import partialmethod
from threading import RLock
from zope.interface.adapter import AdapterLookupBase

import os


_lock = RLock()


def _begin_anew():
    """In the child of a fork it may be that of a thread which is not there."""
    global _lock
    _lock = RLock()


def _one_by_one(lookup, *args, usual):
    with _lock:
        return usual(lookup, *args)


def let_threads_look_up():
    """Let one thread at a time change what depends on what is looked up."""
    os.register_at_fork(after_in_child=_begin_anew)
    for name in ("changed", "_subscribe"):
        usual = getattr(AdapterLookupBase, name)
        method = partialmethod(_one_by_one, usual=usual)
        setattr(AdapterLookupBase, name, method)
