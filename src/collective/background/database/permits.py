"""Permits: what an instance may take that is not for all at the same time.

Locks, of each of which one task runs at a time, and queues with a limit. What is in use
is in the Holdings; so whoever dies gives it back with what he has reserved. Who takes
something that he did not have writes down that he does: of two that do it at the same
moment one conflicts, see ``locking.take``.

Comes in: a Look. Goes out: candidates, and room.
"""

from collections import Counter
from collective.background.database.instances import least_limit
from collective.background.database.locking import cycle
from collective.background.database.locking import line_of
from collective.background.database.locking import START
from collective.background.database.locking import take
from collective.background.database.locks import Lines
from collective.background.database.locks import Locks
from collective.background.database.owning import owned
from collective.background.database.relaying import cut_off_queues
from collective.background.database.shard import number_of
from collective.background.database.shard import SHARDS
from collective.background.database.standing import LANES
from collective.background.database.standing import lanes_of
from functools import cached_property
from itertools import chain
from itertools import islice
from math import inf


FIRST_LANES = range(0, SHARDS, LANES)  # of all locks
LINES = 128  # of locks that are looked at by one look, of own ones and of others'


def limit_of(look, queue):
    """Return how many tasks of a queue may be reserved in the cluster, or infinity.

    Of what the instances say the least goes.
    """
    return least_limit(queue, look.feeder.settings, look.instances)


def take_new(look, before, after):
    """Write down what is in use now and was not before.

    Both: ``{id: (queue, locks)}`` of what is reserved here.
    """
    shards = look.scheduler.shards
    for lock in _locks_of(after) - _locks_of(before):
        take(shards, lock)
    more = _queues_of(after) - _queues_of(before)
    for queue in more:
        if limit_of(look, queue) < inf:
            take(shards, f"the queue {queue}")


def _locks_of(uses):
    return set(chain.from_iterable(locks for _, locks in uses.values()))


def _queues_of(uses):
    return Counter(queue for queue, _ in uses.values())


class Permits:
    """Of a Look. ``outlets``: of the queues for which there is room, by their names."""

    def __init__(self, look, outlets):
        self._look = look
        self._shards = tuple(look.scheduler.shards)
        own = set().union(*(owned(look, queue) for queue in outlets))
        self._own = own.intersection(FIRST_LANES)
        queues = set(look.feeder.slots).union(
            *(instance.slots for instance in look.instances.values())
        )
        still = cut_off_queues(look.instances).union(look.scheduler.paused)
        self._moving = queues.difference(still)
        self._taken = look.feeder.newer.union(map(number_of, look.tasks))
        # Also those of what has just ended: so a line stays where it was begun.
        self._mine = _locks_of(look.uses)
        self._lines = Lines(self._read, self._who_has_what, outlets, self._is_own)

    def room(self, outlet):
        """Return how many more tasks an outlet may get, or infinity.

        With a limit none is reserved ahead: another instance may have a slot.
        """
        limit = limit_of(self._look, outlet.name)
        if limit == inf:
            return inf
        used = sum((_queues_of(uses) for uses in self._uses.values()), Counter())
        mine = _queues_of(self._uses[self._look.me])[outlet.name]
        return min(limit - used[outlet.name], outlet.room_with_limit(mine))

    def is_one(self, queue):
        """Whether one task of a queue runs at a time, in the whole cluster."""
        return limit_of(self._look, queue) == 1

    @cached_property
    def own(self):
        """Candidates of the lines to which this instance sees."""
        for lock in self._mine:
            self._lines.look_at(lock)
        self._look_at_some("own", self._own)
        return self._lines.own

    @cached_property
    def foreign(self):
        """Candidates of the lines of others."""
        self._look_at_some("foreign", set(FIRST_LANES) - self._own)
        return self._lines.foreign

    def took(self, task):
        """The Look is going to reserve a StoredTask."""
        self._lines.took(task.number)

    @cached_property
    def _uses(self):
        """What is in use, by the instance."""
        look = self._look
        holdings = filter(None, look.scheduler.holdings.values())
        uses = {holding.instance: holding.uses for holding in holdings}
        return {**uses, look.me: look.uses_now()}

    def _who_has_what(self):
        theirs = [uses for id, uses in self._uses.items() if id != self._look.me]
        uses = self._uses[self._look.me]
        sent = {id: uses[id] for id in uses if id in self._look.sent}
        mine = [locks for id, (_, locks) in uses.items() if id not in sent]
        return Locks(
            others=set().union(*map(_locks_of, [*theirs, sent])),
            mine=chain.from_iterable(mine),
        )

    def _read(self, lock):
        """Yield those in a line, but for what is reserved here, and what is paused.

        And what is of no instance, or of newer ones, or cannot be sent to workers.
        """
        for stand, task in line_of(self._shards, lock):
            if stand.number not in self._taken and stand.queue in self._moving:
                yield stand, task

    def _is_own(self, stand):
        own = owned(self._look, stand.queue)
        return any(
            lock in self._mine or lanes_of(lock)[0] in own for lock in stand.locks
        )

    def _look_at_some(self, name, firsts):
        """Go on where the last look has come to."""
        places = self._look.feeder.places
        found = cycle(self._shards, firsts, places.get(name, (0, START)))
        for place, lock in islice(found, LINES):
            self._lines.look_at(lock)
            places[name] = place
