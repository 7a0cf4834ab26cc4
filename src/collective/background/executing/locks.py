"""Locks: of the tasks of a site that have the same one, a single one runs.

Plain data, changed under the dispatcher's lock only. Each step costs the same, however
many wait.

A lock has a line of the jobs that want it: by priority, and of one priority by age. A
job may start when it is the first one in the line of each of its locks, and none of
these is held. It takes all of them at once, so that nobody waits for somebody who waits
for him: the very first one of all is the first in each of its lines.
"""

from BTrees.OOBTree import OOBTree
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class _Entry:
    """A job in its lines.

    - ``queue``: its Queue; ``rank``: its place in all lines; ``keys``: of its locks
    - ``is_next``: whether it may start, so that the queue has it
    """

    job: object
    queue: object
    rank: tuple
    keys: tuple
    is_next: bool = False


class Locks:
    """The locks of all sites of a process.

    Tells a queue which of its jobs may start, with ``queue.admit(job)``, and which may
    not any more, as one of a higher priority has come, with ``queue.hold_back(job)``.
    """

    def __init__(self):
        self._entries = {}  # of jobs that wait, by their id
        self._lines = {}  # OOBTrees of entries by their rank, by the key of the lock
        self._held = {}  # the job that has it, by the key of the lock

    def enter(self, number, job, queue):
        """A job comes into the lines of its locks. ``number``: of its arrival."""
        keys = _keys(job)
        entry = _Entry(job, queue, (-job.priority, job.age, number), keys)
        passed = self._heads(keys)
        self._entries[job.id] = entry
        for key in keys:
            self._lines.setdefault(key, OOBTree())[entry.rank] = entry
        self._see_to(*passed, entry)

    def leave(self, job):
        """A job stands in no line any more, if it did, and is not to start."""
        entry = self._remove(job)
        if entry is not None:
            if entry.is_next:
                entry.queue.hold_back(job)
            self._see_to(*self._heads(entry.keys))

    def take(self, job):
        """A job that may start does so: it has its locks."""
        self._held.update(dict.fromkeys(self._remove(job).keys, job))

    def give_back(self, job):
        """A job has come to its end."""
        keys = _keys(job)
        for key in keys:
            del self._held[key]
        self._see_to(*self._heads(keys))

    def place(self, id):
        """Return (number, holder) of a job that stands in line; None if it does not.

        ``number``: how many stand before it, in the longest of its lines; ``holder``:
        the id of a job that has one of its locks, or None.
        """
        entry = self._entries.get(id)
        if entry is None:
            return None
        holders = [self._held[key].id for key in entry.keys if key in self._held]
        before = (
            len(self._lines[key].keys(max=entry.rank, excludemax=True))
            for key in entry.keys
        )
        return max(before), holders[0] if holders else None

    def _remove(self, job):
        entry = self._entries.pop(job.id, None)
        for key in () if entry is None else entry.keys:
            line = self._lines[key]
            del line[entry.rank]
            if not line:
                del self._lines[key]
        return entry

    def _heads(self, keys):
        """Return the first entry of each line in which somebody stands."""
        lines = [self._lines[key] for key in keys if key in self._lines]
        return [line[line.minKey()] for line in lines]

    def _see_to(self, *entries):
        """Tell queues what has changed for these entries."""
        for entry in entries:
            is_next = self._is_next(entry)
            if is_next and not entry.is_next:
                entry.queue.admit(entry.job)
            elif entry.is_next and not is_next:
                entry.queue.hold_back(entry.job)
            entry.is_next = is_next

    def _is_next(self, entry):
        return self._held.keys().isdisjoint(entry.keys) and all(
            head is entry for head in self._heads(entry.keys)
        )


def _keys(job):
    return tuple((job.source, job.site, text) for text in job.locks)
