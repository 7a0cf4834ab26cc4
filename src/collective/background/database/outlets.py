"""Outlets: where the tasks of a queue go that a look reserves.

To threads of this process, or to workers of Celery. Comes in: a Look. Goes out: how
many tasks each may get.
"""

from collective.background.database.ahead import ahead_of_a_lock
from collective.background.database.ahead import idle_slots
from collective.background.database.ahead import room_for
from collective.background.database.relaying import room_for_workers
from functools import cached_property
from math import inf


def outlets_of(look):
    """Return the Outlets of a Look that have room, by the names of their queues.

    But for queues that are paused.
    """
    feeder = look.feeder
    found = [Workers(look, name) for name in sorted(feeder.relayed)]
    if not any(held.claim.is_marked for held in feeder.held.for_threads()):
        # Else that one runs alone: others are not to die with it.
        queues = feeder.executor.dispatcher.queues
        names = queues.keys() & feeder.slots.keys()
        found += [Threads(look, queues[name]) for name in queues if name in names]
    return {
        outlet.name: outlet
        for outlet in found
        if outlet.name not in look.scheduler.paused and outlet.room > 0
    }


class Threads:
    """Slots of this process. ``queue``: the Queue of the dispatcher."""

    is_sent = False

    def __init__(self, look, queue):
        self.name = queue.name
        self._look = look
        self._queue = queue

    @cached_property
    def room(self):
        """How many tasks may be reserved."""
        return room_for(self._look.feeder, self._queue)

    @property
    def idle(self):
        """How many would start at once."""
        return idle_slots(self._look.feeder, self._queue)

    @cached_property
    def ahead_of_a_lock(self):
        """How many tasks may be reserved of which one runs at a time."""
        return ahead_of_a_lock(self._look, self._queue)

    def room_with_limit(self, mine):
        """How many, if nothing is to be reserved ahead; ``mine``: as many are."""
        return self._queue.slots - self._queue.used_by_others(self._look.feeder) - mine


class Workers:
    """Workers of Celery. ``name``: that of the queue."""

    is_sent = True
    ahead_of_a_lock = 1  # nobody knows which of them would be first

    def __init__(self, look, name):
        self.name = name
        self._look = look

    @cached_property
    def room(self):
        """How many tasks may be reserved."""
        return room_for_workers(self._look, self.name)

    @property
    def idle(self):
        """How many would start at once, as far as is known here."""
        return self.room

    def room_with_limit(self, mine):
        """How many, if nothing is to be reserved ahead; ``mine``: as many are."""
        return inf
