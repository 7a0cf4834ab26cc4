"""Contention: which kinds of tasks conflict so often that they had better take turns.

Comes in: the runs of this process. Goes out: whether a task is to have the lock of its
kind from the beginning, as those have that have conflicted, see ``model/conflicts.py``.
Without that each of a thousand which write to the same object would have to find out
for itself.

Only runs in vain count. If one is repeated now and then, and gets through at the second
try, several at a time still do more than one after the other.
"""

from collections import deque
from threading import Lock
from time import monotonic


LAST = 20  # runs of a kind that are remembered
OFTEN = 3  # of them in vain
WHILE = 30.0  # seconds without one, after which it is tried without the lock
KINDS = 1000  # that are remembered at the most


class Contention:
    """Used by many threads. A kind: what tells it from others, hashable."""

    def __init__(self):
        self._lock = Lock()
        self._runs = {}  # by the kind: for each run whether it has conflicted
        self._until = {}  # by the kind: of the monotonic clock

    def note(self, kind, has_conflicted):
        """A run has ended; ``has_conflicted``: in vain, with a conflict."""
        with self._lock:
            # Most never do, and nothing is kept of them.
            if has_conflicted and kind not in self._runs:
                self._runs[kind] = deque(maxlen=LAST)
                if len(self._runs) > KINDS:
                    self._forget(next(iter(self._runs)))
            if kind not in self._runs:
                return
            runs = self._runs[kind]
            runs.append(has_conflicted)
            if has_conflicted and (sum(runs) >= OFTEN or self._is_high(kind)):
                self._until[kind] = monotonic() + WHILE
            elif not any(runs) and not self._is_high(kind):
                self._forget(kind)

    def is_high(self, kind):
        """Whether the tasks of a kind have conflicted often, of late."""
        with self._lock:
            return self._is_high(kind)

    def _is_high(self, kind):
        return monotonic() < self._until.get(kind, 0.0)

    def _forget(self, kind):
        self._runs.pop(kind, None)
        self._until.pop(kind, None)
