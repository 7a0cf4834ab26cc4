"""The lines of locks: which of the tasks that stand there may be taken.

A task with locks stands in the line of each of them, and nowhere else. It is taken when
it is the first one in all of these lines, with all locks at once: so nobody waits with
a lock in his hands, and the one that is the first of all can always be the next.

While an instance has a lock it takes what comes next in that line, too: its dispatcher
runs one at a time.

Comes in: lines, and who has which lock. Goes out: candidates. Plain data.
"""

from collections import Counter
from collections import defaultdict
from dataclasses import dataclass
from heapq import heappop
from heapq import heappush


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task in the line of a lock, as the key there has it.

    - ``rank``: (-priority, number), what lines are sorted by
    - ``queue``: its name; ``user``: (path, id); ``locks``: all that it needs, a tuple
    - ``task``: the StoredTask, which is not loaded
    """

    rank: tuple
    queue: str
    user: tuple
    locks: tuple
    task: object


class Locks:
    """Who has which lock, for one look.

    - ``others``: the locks that other instances have, a set
    - ``mine``: how many tasks are reserved here of each lock, a dictionary
    """

    def __init__(self, others, mine):
        self._others = others
        self._mine = Counter(mine)

    def may_take(self, locks, ahead):
        """Whether a task may be reserved here that needs these.

        All of them are free, or all of them are here already: or one would be kept from
        others by a task that waits for the next one. ``ahead``: up to how many tasks
        may be here of one lock.
        """
        counts = [self._mine[lock] for lock in locks]
        return (
            self._others.isdisjoint(locks)
            and (all(counts) or not any(counts))
            and max(counts) < ahead
        )

    def take(self, locks):
        self._mine.update(locks)

    def is_elsewhere(self, lock):
        """Whether another instance has it, so that nothing of its line can be taken."""
        return lock in self._others


class Lines:
    """The lines of locks, as far as they were looked at.

    ``read(lock)``: returns an iterator of Waiting, those of a line that may start, the
    first one first; ``locks``: Locks.
    """

    def __init__(self, read, locks):
        self._read = read
        self._locks = locks
        self._lines = {}
        self._heads = {}  # the first one of each line, or None
        self._candidates = defaultdict(list)  # heaps of (rank, Waiting) by the queue
        self._noted = set()  # the ranks of all that are there, or were

    def look_at(self, lock):
        """Find the candidate in the line of a lock."""
        if not self._locks.is_elsewhere(lock):
            self._note(lock)

    def candidates(self, queue, ahead):
        """Yield Waiting of a queue that may be taken, the first ones first.

        Each is taken when the next one is asked for; that may be one behind it.
        ``ahead``: see ``Locks``.
        """
        heap = self._candidates[queue]
        while heap:
            _, first = heappop(heap)
            if self._locks.may_take(first.locks, ahead):
                yield first
                self._take(first)

    def _take(self, first):
        self._locks.take(first.locks)
        for lock in first.locks:
            self._heads[lock] = next(self._lines[lock], None)
        for lock in first.locks:
            self._note(lock)

    def _note(self, lock):
        """The first one of a line is a candidate if it is that in all of its lines."""
        first = self._head(lock)
        if first is None or first.rank in self._noted:
            return
        heads = map(self._head, first.locks)
        if all(head is not None and head.rank == first.rank for head in heads):
            self._noted.add(first.rank)
            heappush(self._candidates[first.queue], (first.rank, first))

    def _head(self, lock):
        if lock not in self._lines:
            self._lines[lock] = self._read(lock)
            self._heads[lock] = next(self._lines[lock], None)
        return self._heads[lock]
