"""Queues: which task starts next, and how many run at once.

Plain data, changed under the dispatcher's lock only.
"""

from collections import OrderedDict
from collections.abc import Callable
from collections.abc import Hashable
from collective.background.model.records import QueueStatus
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from time import monotonic
from weakref import WeakSet


AGEING = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A task that may start, as the dispatcher knows it.

    - ``id``: of the task; ``queue``: the name of its queue
    - ``priority``: the higher starts first (an int)
    - ``source``: who has sent it: one of the schedulers of this process, hashable and
      with weak references. Each is paused and waited for by itself
    - ``run()``: called in the task's own thread
    - ``refused(error)``: called when the interpreter starts no thread
    - ``age``: of two of a source the older one has the smaller number
    - ``site``: tells the site of the task from others of the source; ``user``: its user
      from others of the site
    - ``locks``: texts; of all jobs of the site with one of them, one runs at a time
    - ``limit``: how many jobs of the site may run at once in the queue; None: as many
      as there are slots
    """

    id: str
    queue: str
    priority: int
    source: object
    run: Callable
    refused: Callable
    age: int = 0
    site: Hashable = None
    user: Hashable = None
    locks: tuple = ()
    limit: int | None = None


class _Line:
    """The jobs of one source that wait, each with its number of arrival."""

    def __init__(self):
        self._lanes = {}  # OrderedDicts of (number, job) by id, by their priority

    def push(self, number, job):
        self._lanes.setdefault(job.priority, OrderedDict())[job.id] = (number, job)

    def discard(self, job):
        """Return whether it was there."""
        lane = self._lanes.get(job.priority, {})
        if lane.pop(job.id, None) is None:
            return False
        if not lane:
            del self._lanes[job.priority]
        return True

    def first(self):
        """Return (rank, job) of the next one: the highest priority, then by age."""
        priority = max(self._lanes)
        number, job = self._head(priority)
        return (-priority, number), job

    def oldest(self):
        """Return (number, job) of the one that came first, whatever its priority."""
        return min(map(self._head, self._lanes), key=itemgetter(0))

    def _head(self, priority):
        return next(iter(self._lanes[priority].values()))

    def __len__(self):
        return sum(len(lane) for lane in self._lanes.values())


class Queue:
    """Waiting lines, one for each source, with slots that all of them share.

    Of a source that is paused nothing starts until it is resumed, and of one that is
    stopped nothing any more.

    A higher priority goes first; within a priority, who came first. So that
    nobody starves, every tenth start is that of the job which came first of all.
    ``threads``: the sources of those that use a slot, by thread; ``started_at``: when
    the last one was started (of the monotonic clock).
    """

    def __init__(self, name, slots):
        self.name = name
        self.slots = slots
        self.threads = {}
        self.started_at = 0.0
        self._lines = {}  # by their source
        # Sources, which may come to their end long before the process.
        self._paused = WeakSet()
        self._stopped = WeakSet()
        self._numbers = count()
        self._starts = 0

    def push(self, job):
        self._lines.setdefault(job.source, _Line()).push(next(self._numbers), job)

    def discard(self, job):
        """Take a job out of its line; return whether it was in it."""
        line = self._lines.get(job.source)
        if line is None or not line.discard(job):
            return False
        if not line:
            del self._lines[job.source]
        return True

    def pause(self, source):
        self._paused.add(source)

    def resume(self, source):
        self._paused.discard(source)

    def stop(self, source):
        self._stopped.add(source)

    def can_start(self):
        """Whether a job waits, and may start now."""
        return len(self.threads) < self.slots and any(self._moving_lines())

    def _moving_lines(self):
        """Yield the lines whose first job may start when a slot is free."""
        for source, line in self._lines.items():
            if source not in self._paused and source not in self._stopped:
                yield line

    def pop(self):
        """Return the next job that may start now, or None."""
        if not self.can_start():
            return None
        self._starts += 1
        self.started_at = monotonic()
        next_of = _Line.first if self._starts % AGEING else _Line.oldest
        _, job = min(map(next_of, self._moving_lines()), key=itemgetter(0))
        self.discard(job)
        return job

    def waiting(self, source):
        """Return how many jobs of a source are waiting."""
        return len(self._lines.get(source, ()))

    def running(self, source):
        """Return how many jobs of a source use a slot."""
        return sum(1 for each in self.threads.values() if each is source)

    def status(self, source):
        """Return the QueueStatus of one source: as if there were no others."""
        return QueueStatus(
            name=self.name,
            slots=self.slots,
            running=self.running(source),
            waiting=self.waiting(source),
            paused=source in self._paused,
        )

    def total(self):
        """Return the QueueStatus of all sources; paused, if it is for any of them."""
        return QueueStatus(
            name=self.name,
            slots=self.slots,
            running=len(self.threads),
            waiting=sum(map(len, self._lines.values())),
            paused=bool(self._paused),
        )
