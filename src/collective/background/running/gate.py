"""The gate: who has conflicted again and again makes its attempts alone.

Tasks that write to the same objects, like those that create content in one
folder, conflict again and again: of two that overlap, one loses. So that none
loses for good, its attempt waits at last (see ``model/conflicts.py``) until the
other tasks of the process have ended theirs, and new ones wait for it. Called by
``runner.py``.
"""

from collective.background.model.forking import in_child
from contextlib import contextmanager

import threading


# A task that takes minutes is not waited for, and does not make others wait.
PATIENCE = 5.0  # seconds


class Gate:
    """``patience``: how long anybody waits at the most (seconds).

    Who is to be alone waits so long for another one that is, and for the rest.
    """

    def __init__(self, patience=PATIENCE):
        self._patience = patience
        self._begin_anew()
        in_child(self._begin_anew)

    def _begin_anew(self):
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = None
        self._local = threading.local()

    @contextmanager
    def attempt(self, alone):
        """Let an attempt pass. ``alone``: without others, if that can be had."""
        if getattr(self._local, "inside", False):
            yield  # a task that runs inside of another one's thread
            return
        me = object()
        with self._changed:
            self._changed.wait_for(lambda: self._alone is None, self._patience)
            if alone:
                self._alone = me
                self._changed.wait_for(lambda: not self._inside, self._patience)
            self._inside += 1
        self._local.inside = True
        try:
            yield
        finally:
            self._local.inside = False
            with self._changed:
                self._inside -= 1
                if self._alone is me:
                    self._alone = None
                self._changed.notify_all()


gate = Gate()
