"""Where tasks in the database stand that wait; see ``ILines``.

From the keys of the lines, and from the Holdings: no task is loaded that stands there.
Which of them an instance takes next depends on whose turn was the last one there.
"""

from collective.background.database.instances import instances_for
from collective.background.database.instances import least_limit
from collective.background.database.lines import by_priority
from collective.background.database.lines import lanes
from collective.background.database.lines import ranks
from collective.background.database.listing import running_by
from collective.background.database.locking import line_of
from collective.background.database.relaying import cut_off_queues
from collective.background.database.shard import number_of
from collective.background.executing.executor import process_executor
from collective.background.executing.lines import in_rounds
from collective.background.interfaces import ILines
from collective.background.model.records import LOOKED_AHEAD
from collective.background.model.records import Standing
from collective.background.model.states import WAITING
from functools import cache
from functools import cached_property
from itertools import islice
from zope.interface import implementer


@implementer(ILines)
class Lines:
    """``scheduler``: a PersistentTransactionalScheduler."""

    def __init__(self, scheduler):
        self._scheduler = scheduler
        self._shards = tuple(scheduler.shards)
        self._in_queue = cache(self._in_queue)
        self._behind = cache(self._behind)
        self._limit = cache(self._limit)

    def is_paused(self, queue):
        return queue in self._scheduler.paused

    def is_executed(self, queue):
        return self._slots.get(queue, 0) > 0

    def is_cut_off(self, queue):
        return queue in self._cut_off

    def running(self):
        return self._running

    def standing(self, id):
        stored = self._scheduler.shards.find(id)
        if stored is None or stored.state not in WAITING or id in self._running:
            return None
        if stored.is_elsewhere:
            return Standing(before=0, is_elsewhere=True)
        if stored.locks:
            lines = [self._behind(lock) for lock in stored.locks]
        else:
            lines = [self._in_queue(stored.queue)]
        places = [_place(line, stored.number) for line in lines]
        if None in places:
            return None
        return Standing(
            before=max(places),
            holder=self._holder(id, stored.locks),
            is_limited=self._is_limited(id, stored.queue),
        )

    def _in_queue(self, queue):
        """Return the numbers of those that wait for a slot, the first ones."""
        if self._limit(queue) == 1:
            return self._numbers(by_priority(self._shards, queue))
        return self._numbers(
            found
            for rank in ranks(self._shards, queue)
            for found in in_rounds(
                lane for _, lane in lanes(self._shards, queue, rank, ())
            )
        )

    def _behind(self, lock):
        """Return the same of those that wait for a lock."""
        line = line_of(self._shards, lock)
        return self._numbers((stand.number, task) for stand, task in line)

    def _numbers(self, pairs):
        running = set(map(number_of, self._running))
        numbers = (number for number, _ in pairs if number not in running)
        return tuple(islice(numbers, LOOKED_AHEAD + 1))

    @cached_property
    def _instances(self):
        return instances_for(self._scheduler)

    @cached_property
    def _cut_off(self):
        return cut_off_queues(self._instances)

    @cached_property
    def _slots(self):
        return self._scheduler.slots()

    @cached_property
    def _running(self):
        """The ids of what has begun."""
        return set(running_by(self._scheduler, "id"))

    @cached_property
    def _uses(self):
        """What is in use, as a Holding has it, by the ids of tasks."""
        holdings = filter(None, self._scheduler.holdings.values())
        return {id: uses for each in holdings for id, uses in each.uses.items()}

    def _holder(self, id, locks):
        """Return the id of who has one of these locks, or None.

        Of several tasks of an instance that has it, that is the one that runs.
        """
        having = {
            other
            for other, (_, theirs) in self._uses.items()
            if other != id and not set(theirs).isdisjoint(locks)
        }
        if id in self._uses:
            having &= self._running
        return min(
            having,
            key=lambda other: (other not in self._running, number_of(other)),
            default=None,
        )

    def _is_limited(self, id, queue):
        used = sum(name == queue for name, _ in self._uses.values())
        return id not in self._uses and used >= self._limit(queue)

    def _limit(self, queue):
        return least_limit(queue, process_executor().settings, self._instances)


def _place(line, number):
    """Return how many are before one; None if it is not in the line, or about to be."""
    if number in line:
        return line.index(number)
    return len(line) if len(line) > LOOKED_AHEAD else None
