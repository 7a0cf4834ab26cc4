"""The lines of locks: which of the tasks that stand there may be taken.

A task with locks stands in the line of each of them, and nowhere else. It is taken when
it is the first one in all of these lines, with all locks at once: so nobody waits with
a lock in his hands, and the one that is the first of all can always be the next.

While an instance has a lock it takes what comes next in that line, too: its dispatcher
runs one at a time.

Comes in: lines, and who has which lock. Goes out: candidates. Nothing is loaded.
"""

from bisect import bisect_left
from bisect import bisect_right
from bisect import insort
from collections import Counter
from collective.background.database.shard import FIRST
from collective.background.database.shard import LAST
from functools import cache


class Locks:
    """Who has which lock, for one look.

    - ``others``: the locks that other instances have, a set; and those of tasks that
      were sent to workers of Celery, as they are about to have them
    - ``mine``: those of tasks that are reserved here, each as often as it is needed
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

    def give_away(self, locks):
        """A task with these is about to be sent."""
        self._others.update(locks)

    def is_elsewhere(self, lock):
        """Whether another instance has it, so that nothing of its line can be taken."""
        return lock in self._others


class Lines:
    """The lines of locks, as far as they were looked at.

    - ``read(lock)``: returns an iterator of (Stand, StoredTask) of a line, those that
      may start, the first one first
    - ``locks()``: returns Locks; not called before there is a line
    - ``outlets``: for each queue; of other queues nothing is taken
    - ``is_own(stand)``: whether this instance is the one that sees to it

    The candidates are in ``own`` and ``foreign``, Candidates.
    """

    def __init__(self, read, locks, outlets, is_own):
        self.own, self.foreign = Candidates(), Candidates()
        self._read = read
        self._locks = cache(locks)
        self._outlets = outlets
        self._is_own = is_own
        self._lines = {}
        self._heads = {}  # the first (Stand, StoredTask) of each, or None
        self._noted = {}  # Stands of all that are candidates, or were, by their number

    def look_at(self, lock):
        """Find the candidate in the line of a lock."""
        if not self._locks().is_elsewhere(lock):
            self._note(lock)

    def took(self, number):
        """A task was taken: those behind it may be candidates, too.

        ``number``: its number; it may have stood in no line.
        """
        if number not in self._noted:
            return
        stand = self._noted[number]
        locks = stand.locks
        if self._outlets[stand.queue].is_sent:
            self._locks().give_away(locks)
        else:
            self._locks().take(locks)
        for lock in locks:
            self._heads[lock] = next(self._lines[lock], None)
        for lock in locks:
            self._note(lock)

    def _note(self, lock):
        """The first one of a line is a candidate if it is that in all of its lines."""
        head = self._head(lock)
        if head is None:
            return
        stand, task = head
        if stand.number in self._noted or any(
            self._head(each) is None or self._head(each)[0] != stand
            for each in stand.locks
        ):
            return
        outlet = self._outlets.get(stand.queue)
        if outlet and self._locks().may_take(stand.locks, outlet.ahead_of_a_lock):
            self._noted[stand.number] = stand
            (self.own if self._is_own(stand) else self.foreign).add(stand, task)

    def _head(self, lock):
        if lock not in self._lines:
            self._lines[lock] = self._read(lock)
            self._heads[lock] = next(self._lines[lock], None)
        return self._heads[lock]


class Candidates:
    """Tasks that may be taken, as a Shard has those in line; see ``lines.py``."""

    def __init__(self):
        self.line, self.turns = _Index(), _Index()

    def add(self, stand, task):
        self.line.add(stand.in_line, task)
        self.turns.add(stand.in_turns, task)


class _Index:
    """Some of a BTree; and more may come while somebody goes through it."""

    def __init__(self):
        self._keys = [FIRST, LAST]
        self._tasks = {}

    def add(self, key, task):
        insort(self._keys, key)
        self._tasks[key] = task

    def __getitem__(self, key):
        return self._tasks[key]

    def minKey(self, least):
        return self._keys[bisect_left(self._keys, least)]

    def maxKey(self, most):
        return self._keys[bisect_right(self._keys, most) - 1]

    def items(self, least, most, *_):
        """Yield those between these keys, without them."""
        while (least := self._keys[bisect_right(self._keys, least)]) < most:
            yield least, self._tasks[least]
