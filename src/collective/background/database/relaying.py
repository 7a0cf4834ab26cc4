"""Relaying: what is reserved for workers of Celery, and given to the relay.

As much of it as they can begin soon: in the database all keep their places in line,
and with the broker none. Whoever takes over what was sent writes the StoredTask, and so
does whoever gives it back; so one of the two conflicts.

Comes in: a Look. Goes out: Parcels for the relay (``celery/relay.py``), once that is
committed.
"""

from collections import Counter
from collective.background.database.holding import Held
from collective.background.model.messages import portable_line
from dataclasses import dataclass
from itertools import chain
from math import inf
from time import monotonic
from zope.i18n import translate


AHEAD = 2  # tasks for each slot of the workers that nobody has taken over yet
TITLE = 200  # characters
BRISK = 0.02  # seconds until one looks whether workers want more, at least
WHILE = 1.0  # seconds after the last message for which that is to be expected


@dataclass(frozen=True, kw_only=True, eq=False)
class Parcel:
    """What the relay is to send of a task.

    - ``feeder``: of its site; ``held``: its Held
    - ``title``: one line; ``hard_timeout``: seconds, or infinity
    """

    feeder: object
    held: Held
    title: str
    hard_timeout: float

    def failed(self):
        """It could not be sent: the task goes on waiting. In any thread."""
        self.feeder.give_back(self.held)


def parcel_of(feeder, stored, claim):
    """Return the Parcel for a StoredTask that is reserved by a Claim."""
    return Parcel(
        feeder=feeder,
        held=Held(claim, stored.queue, stored.locks),
        title=portable_line(translate(stored.title), TITLE),
        hard_timeout=stored.hard_timeout,
    )


def send(parcel):
    """Its task is reserved for a worker: let the relay send it."""
    feeder, held = parcel.feeder, parcel.held
    held.sent_at = monotonic()
    with feeder.changed:
        feeder.sent_at = held.sent_at
        feeder.held[held.claim.id] = held
        # The process may be about to end: a look may have been under way.
        held.is_withdrawn = feeder.is_stopping
    feeder.executor.relay.send(parcel)


def room_for_workers(look, queue):
    """Return how many more tasks of a queue may be reserved for workers of Celery.

    Each of those who send has the same share, and at least one; all sites of a process
    together. But one that has nothing there stands in line with the others.
    """
    relay = look.feeder.executor.relay
    slots = slots_of_workers(look.instances, queue)
    if not slots or queue not in relay.queues:
        return 0
    others = sum(
        queue in instance.sends
        for id, instance in look.instances.items()
        if id != look.me and not instance.is_draining
    )
    # What a worker has just taken over is not among them any more.
    mine = sum(look.uses[id][0] == queue for id in look.sent.intersection(look.tasks))
    room = max(1, AHEAD * slots // (1 + others)) - mine
    room -= relay.unclaimed(queue, besides=look.feeder)
    return room if mine else max(room, 1)


def slots_of_workers(instances, queue):
    """Return how many slots of a queue all workers of Celery together have."""
    return sum(
        instance.slots.get(queue, 0)
        for instance in instances.values()
        if instance.is_celery_worker and not instance.is_draining
    )


def _are_busy(look, queue):
    """Whether all slots of a queue have a task of this site, as far as workers said."""
    holdings = look.scheduler.holdings
    workers = [id for id, each in look.instances.items() if each.is_celery_worker]
    uses = [holdings[id].uses.values() for id in workers if id in holdings]
    running = sum(name == queue for name, _ in chain.from_iterable(uses))
    return running >= slots_of_workers(look.instances, queue) > 0


def sent_by_queue(scheduler):
    """Return how many tasks were sent to workers of Celery, which have not begun them.

    A Counter, by the names of queues.
    """
    return Counter(
        holding.uses[id][0]
        for holding in filter(None, scheduler.holdings.values())
        for id in holding.sent
        if id in holding.uses
    )


def cut_off_queues(instances):
    """Return the names of queues whose tasks nobody can send now, a set.

    ``instances``: {id: Instance}.
    """
    relayed = set().union(*(each.relays for each in instances.values()))
    return relayed.difference(*(each.sends for each in instances.values()))


def find_unclaimed(look):
    """Return what no worker has taken over for the time of a lease, a list of Held.

    Though one could have: while all are busy, nothing seems to be lost.
    """
    feeder, lease = look.feeder, look.feeder.settings.lease
    found = feeder.for_workers()
    for queue in {held.queue for held in found}:
        if _are_busy(look, queue):
            feeder.busy_at[queue] = monotonic()
    busy_at = feeder.busy_at
    since = {held: max(held.sent_at, busy_at.get(held.queue, 0.0)) for held in found}
    look.again_at(min(since.values(), default=inf) + lease)
    silence = monotonic() - feeder.sent_at
    if silence < WHILE:
        # Workers take one after the other, and soon want more, or what had to wait for
        # it. They write that, but not every storage tells of it.
        look.again_in(max(BRISK, silence))
    return [held for held in found if monotonic() - since[held] > lease]
