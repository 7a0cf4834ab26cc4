"""Queues: which task starts next, and how many run at once.

Plain data, changed under the scheduler's lock only.
"""

from collections import OrderedDict
from collective.background.records import QueueStatus


class Queue:
    """A waiting line with a number of slots.

    A higher priority goes first; within a priority, who came first.
    ``threads``: those that use a slot.
    """

    def __init__(self, name, slots):
        self.name = name
        self.slots = slots
        self.paused = False
        self.threads = set()
        self._lanes = {}

    def push(self, task):
        lane = self._lanes.setdefault(task.options.priority, OrderedDict())
        lane[task.id] = task

    def discard(self, task):
        """Take a task out of the line, if it is in it."""
        lane = self._lanes.get(task.options.priority)
        if lane is not None and lane.pop(task.id, None) and not lane:
            del self._lanes[task.options.priority]

    def can_start(self):
        """Whether a task waits, and may start now."""
        return bool(self._lanes and not self.paused and len(self.threads) < self.slots)

    def pop(self):
        """Return the next task that may start now, or None."""
        if not self.can_start():
            return None
        lane = self._lanes[max(self._lanes)]
        task = next(iter(lane.values()))
        self.discard(task)
        return task

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
