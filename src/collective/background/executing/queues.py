"""Queues: which task starts next, and how many run at once.

Plain data, changed under the dispatcher's lock only.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Hashable
from collective.background.executing.lines import Line
from collective.background.model.records import QueueStatus
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from time import monotonic
from weakref import WeakSet


AGEING = 10

_numbers = count()  # of arrivals, in whatever queue


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Job:
    """A task that may start, as the dispatcher knows it; for each attempt another one.

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
    - ``limit``: how many jobs of the site may run at once in the queue, the same for
      all of them; None: as many as there are slots
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


class Queue:
    """What waits for a slot, in a line for each site of each source, and what has one.

    ``locks``: the Locks of the process. Of a source that is paused nothing starts until
    it is resumed, and of one that is stopped nothing any more.

    A higher priority goes first; within a priority, slots go round the users of all
    sites, one start each; of one user the older goes first. So that nobody starves,
    every tenth start is that of who has waited longest of all. Who waits for a lock is
    passed by, and so is a site of which so many run as its limit allows.

    ``threads``: the jobs that use a slot; ``started_at``: when the last one was started
    (of the monotonic clock).
    """

    def __init__(self, name, slots, locks):
        self.name = name
        self.slots = slots
        self.threads = set()
        self.started_at = 0.0
        self._locks = locks
        self._waiting = {}  # of each source {id: (number, job)}, in their order
        self._lines = {}  # of those that may start, by (source, site)
        # Sources, which may come to their end long before the process.
        self._paused = WeakSet()
        self._stopped = WeakSet()
        self._tickets = count()
        self._starts = 0

    def push(self, job):
        """Let a job wait; return False if its source was stopped."""
        if self.is_stopped(job.source):
            return False
        place = next(_numbers), job
        self._waiting.setdefault(job.source, {})[job.id] = place
        if not job.locks:
            self.admit(job)
        elif job.source not in self._paused:
            self._locks.enter(*place, self)
        return True

    def discard(self, job):
        """A job is not to wait any more; return whether it did."""
        if job.id not in self._waiting.get(job.source, ()):
            return False
        if job.locks:
            self._locks.leave(job)
        else:
            self.hold_back(job)
        self._forget(job)
        return True

    def _forget(self, job):
        waiting = self._waiting[job.source]
        del waiting[job.id]
        if not waiting:
            del self._waiting[job.source]

    # Called by Locks as well.

    def admit(self, job):
        """A job that waits may start when a slot is free."""
        key = job.source, job.site
        if key not in self._lines:
            self._lines[key] = Line(self._tickets, job.limit)
        self._lines[key].push(*self._waiting[job.source][job.id])

    def hold_back(self, job):
        """A job that was admitted may not start."""
        line = self._lines[job.source, job.site]
        line.discard(job)
        self._tidy(job)

    def _tidy(self, job):
        if not self._lines[job.source, job.site]:
            del self._lines[job.source, job.site]

    # Sources.

    def pause(self, source):
        if source not in self._paused:
            self._paused.add(source)
            # Others may have the locks meanwhile.
            for _, job in self._locked(source):
                self._locks.leave(job)

    def resume(self, source):
        if source in self._paused:
            self._paused.discard(source)
            for number, job in self._locked(source):
                self._locks.enter(number, job, self)

    def is_paused(self, source):
        return source in self._paused

    def is_stopped(self, source):
        """Whether nothing more of a source is to start."""
        return source in self._stopped

    def stop(self, source):
        """Return the jobs that have waited."""
        self._stopped.add(source)
        jobs = [job for _, job in self._waiting.get(source, {}).values()]
        for job in jobs:
            self.discard(job)
        return jobs

    def _locked(self, source):
        places = self._waiting.get(source, {}).values()
        return [place for place in places if place[1].locks]

    # Starts and ends.

    def can_start(self):
        """Whether a job waits, and may start now."""
        return len(self.threads) < self.slots and any(self._moving_lines())

    def _moving_lines(self):
        """Yield the lines whose first job may start when a slot is free."""
        running = Counter((job.source, job.site) for job in self.threads)
        for key, line in self._lines.items():
            may_run = line.limit is None or running[key] < line.limit
            if may_run and key[0] not in self._paused:
                yield line

    def pop(self):
        """Return the next job that may start now, or None.

        It has a slot and its locks from now on, until ``end(job)``.
        """
        if not self.can_start():
            return None
        self._starts += 1
        self.started_at = monotonic()
        next_of = Line.first if self._starts % AGEING else Line.oldest
        _, job = min(map(next_of, self._moving_lines()), key=itemgetter(0))
        self._lines[job.source, job.site].take(job)
        self._tidy(job)
        self._forget(job)
        if job.locks:
            self._locks.take(job)
        self.threads.add(job)
        return job

    def end(self, job):
        """A job needs its slot and its locks no longer."""
        self.threads.remove(job)
        if job.locks:
            self._locks.give_back(job)

    # What is told.

    def waiting(self, source):
        """Return how many jobs of a source are waiting."""
        return len(self._waiting.get(source, ()))

    def running(self, source):
        """Return how many jobs of a source use a slot."""
        return len(self.threads) - self.used_by_others(source)

    def used_by_others(self, source):
        """Return how many jobs of other sources use a slot.

        This and ``waiting`` may be asked without the dispatcher's lock: hence the copy.
        """
        return sum(job.source is not source for job in list(self.threads))

    def line(self, source, site):
        """Return an iterator of what may start, in its order, and if it is limited."""
        line = self._lines.get((source, site))
        if line is None:
            return iter(()), False
        running = sum((job.source, job.site) == (source, site) for job in self.threads)
        return line.upcoming(), line.limit is not None and running >= line.limit

    def status(self, source):
        """Return the QueueStatus of one source: as if there were no others."""
        return QueueStatus(
            name=self.name,
            slots=self.slots,
            running=self.running(source),
            waiting=self.waiting(source),
            paused=self.is_paused(source),
        )

    def total(self):
        """Return the QueueStatus of all sources; paused, if it is for any of them."""
        return QueueStatus(
            name=self.name,
            slots=self.slots,
            running=len(self.threads),
            waiting=sum(map(len, self._waiting.values())),
            paused=bool(self._paused),
        )
