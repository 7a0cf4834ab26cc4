"""Reserving: which tasks an instance takes of what waits.

First those of its own shards, and those that the same look has put in line, each in its
turn; who finds nothing there and has idle slots steals from the shards of others. When
the oldest of all has its turn, that may be in the shards of others, too, if it has
waited for long: their slots may all be taken.

Nothing is loaded that is not reserved.
"""

from collective.background.database.lines import by_age
from collective.background.database.lines import by_priority
from collective.background.database.lines import Place
from collective.background.database.outlets import outlets_of
from collective.background.database.owning import owned
from collective.background.database.permits import Permits
from collective.background.database.shard import microseconds
from collective.background.database.shard import number_at
from collective.background.database.shard import number_of
from collective.background.database.standing import newly_in_line
from collective.background.database.status import VERSION
from collective.background.database.stealing import to_be_stolen
from collective.background.database.turns import Turns
from collective.background.database.wholes import is_unwanted
from functools import partial
from itertools import takewhile
from time import monotonic


TRIED = 64  # tasks of a queue that one look loads in vain
LONG = 10.0  # seconds for which the oldest tasks are left to the owners of their shards
ELDERS = 1.0  # seconds between two looks for those, which may load the lines of others


def choose(look):
    """Yield (queue, StoredTasks) to be reserved by a Look."""
    feeder = look.feeder
    if feeder.is_stopping:
        return
    found = [choice for choice in _choices(look) if choice.tasks]
    here = [choice for choice in found if not choice.outlet.is_sent]
    marked = [choice for choice in here if choice.tasks[0].is_marked]
    if marked:
        # Nothing new in any queue until it can run; else it might wait for ever.
        sent = [choice for choice in found if choice.outlet.is_sent]
        found = sent if feeder.held.for_threads() else [*sent, marked[0]]
    for choice in found:
        look.then.append(partial(choice.note, feeder))
        yield choice.queue, choice.tasks


def _choices(look):
    feeder = look.feeder
    outlets = outlets_of(look)
    permits = Permits(look, outlets)
    feeder.own = {name: owned(look, name) for name in (*feeder.slots, *feeder.relayed)}
    # For all queues, or a try for the first one would keep the others from it.
    may_steal = monotonic() >= feeder.stealing.next_at
    for outlet in outlets.values():
        room = min(outlet.room, permits.room(outlet))
        if room > 0:
            choice = Choice(look, outlet, permits)
            choice.take_own(room)
            idle = min(room, outlet.idle)
            if not choice.tasks and idle > 0 and choice.may_steal:
                if may_steal:
                    choice.steal(idle, room)
                else:
                    look.again_at(feeder.stealing.next_at)
            yield choice


class Choice:
    """The StoredTasks (``tasks``) of a queue that a Look may reserve for an ``outlet``.

    One that an instance may have died of is alone among them.
    """

    def __init__(self, look, outlet, permits):
        self.outlet = outlet
        self.queue = queue = outlet.name
        self.tasks = []
        self._look = look
        self._permits = permits
        self._taken = {number_of(id) for id in (*look.before, *look.tasks)}
        self._taken |= look.feeder.newer
        if outlet.is_sent:
            # Workers have them, which are in line until their ends are settled.
            self._taken |= set(_reserved_numbers(look.scheduler))
        self._turns = look.feeder.turns.get(queue, Turns()).copy()
        own = look.feeder.own[queue]
        self._own, self._foreign = [], []
        for index, shard in enumerate(look.scheduler.shards):
            (self._own if index in own else self._foreign).append(shard)

    @property
    def may_steal(self):
        """Whether others own shards at which ``take_own`` does not look."""
        return bool(self._foreign) and not self._permits.is_one(self.queue)

    def take_own(self, room):
        """Take at most so many of what is next in the shards of this instance."""
        for task in self._possible(self._order()):
            self._turns.served()
            self._take(task)
            if len(self.tasks) == room:
                return

    def _order(self):
        permits = self._permits
        if permits.is_one(self.queue):
            # First come, first served, in the whole cluster.
            places = [*self._own, *self._foreign, permits.own, permits.foreign]
            line = by_priority(places, self.queue)
            return (task for number, task in line if number not in self._taken)
        new = newly_in_line(self._look.scheduler.shards)
        places = [*self._own, Place(new.values()), permits.own]
        return self._turns.order(places, self.queue, self._taken, self._elders)

    def _elders(self):
        """Return (number, task) of what has waited for long in the shards of others."""
        look, at = self._look, self._look.feeder.elders_at
        if not self._foreign or monotonic() < at.get(self.queue, 0.0):
            return ()
        at[self.queue] = monotonic() + ELDERS
        self._taken |= set(_reserved_numbers(look.scheduler))
        before = number_at(microseconds(look.now) - int(LONG * 1_000_000))
        found = by_age([*self._foreign, self._permits.foreign], self.queue)
        return takewhile(lambda item: item[0] < before, found)

    def steal(self, idle, room):
        """Take some of the last ones in the shards of others; see ``stealing``."""
        look, stealing = self._look, self._look.feeder.stealing
        stealing.tries()
        self._taken |= set(_reserved_numbers(look.scheduler))
        places = [*self._foreign, self._permits.foreign]
        tasks = to_be_stolen(look, places, self.queue, self._taken, idle, room)
        for task in self._possible(tasks):
            self._take(task)
        if self.tasks:
            look.is_stealing = True
            look.then.append(stealing.succeeded)
            self.tasks.sort(key=lambda task: task.number)

    def _take(self, task):
        self.tasks.append(task)
        self._permits.took(task)

    def note(self, feeder):
        """The look is committed."""
        feeder.turns[self.queue] = self._turns

    def _possible(self, tasks):
        """Yield those of the tasks that may be reserved, as far as it is seen now."""
        feeder, scheduler = self._look.feeder, self._look.scheduler
        tried = 0
        for task in tasks:
            self._taken.add(task.number)
            if task.version > VERSION:
                feeder.newer.add(task.number)  # left to newer instances
            elif task.is_reserved:
                # Once it was in nobody's shard, or in another one's.
                self._taken |= set(_reserved_numbers(scheduler))
            elif is_unwanted(scheduler, task):
                pass  # in a moment it is cancelled
            elif task.is_marked:
                if not self.tasks:
                    yield task
                return
            else:
                yield task
                continue
            tried += 1
            if tried == TRIED:
                self._look.has_more = True
                return


def _reserved_numbers(scheduler):
    for holding in scheduler.holdings.values():
        if holding is not None:
            yield from map(number_of, holding.tasks)
