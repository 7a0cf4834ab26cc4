"""Queues: which task starts next, and how many run at once.

Plain data, changed under the scheduler's lock only.
"""

from collections import OrderedDict
from collective.background.model.records import QueueStatus
from itertools import count
from operator import itemgetter


AGEING = 10


class Queue:
    """A waiting line with a number of slots.

    A higher priority goes first; within a priority, who came first. So that
    nobody starves, every tenth start is that of the task which came first of all.
    ``threads``: those that use a slot.
    """

    def __init__(self, name, slots):
        self.name = name
        self.slots = slots
        self.paused = False
        self.threads = set()
        self._lanes = {}  # OrderedDicts of (number, task), by their priority
        self._numbers = count()
        self._starts = 0

    def push(self, task):
        lane = self._lanes.setdefault(task.options.priority, OrderedDict())
        lane[task.id] = (next(self._numbers), task)

    def discard(self, task):
        """Take a task out of the line; return whether it was in it."""
        lane = self._lanes.get(task.options.priority, {})
        if lane.pop(task.id, None) is None:
            return False
        if not lane:
            del self._lanes[task.options.priority]
        return True

    def can_start(self):
        """Whether a task waits, and may start now."""
        return bool(self._lanes and not self.paused and len(self.threads) < self.slots)

    def pop(self):
        """Return the next task that may start now, or None."""
        if not self.can_start():
            return None
        self._starts += 1
        if self._starts % AGEING:
            _, task = self._first(max(self._lanes))
        else:
            _, task = min(map(self._first, self._lanes), key=itemgetter(0))
        self.discard(task)
        return task

    def _first(self, priority):
        return next(iter(self._lanes[priority].values()))

    def __len__(self):
        """How many are waiting."""
        return sum(len(lane) for lane in self._lanes.values())

    def status(self):
        return QueueStatus(
            name=self.name,
            slots=self.slots,
            running=len(self.threads),
            waiting=len(self),
            paused=self.paused,
        )
