"""Relaying: what is reserved for workers of Celery, and given to the relay.

As much of it as they can begin soon: in the database all keep their places in line,
and with the broker none. What becomes of it then: see ``sent.py``.

Comes in: a Look. Goes out: Parcels for the relay (``celery/relay.py``), once that is
committed.
"""

from collections import Counter
from collective.background.database.holding import Held
from collective.background.model.messages import portable_line
from collective.background.running import outcome
from dataclasses import dataclass
from time import monotonic
from zope.i18n import translate


AHEAD = 2  # tasks for each slot of the workers that nobody has begun yet
TITLE = 200  # characters


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

    def refused(self, error):
        """It can never be sent: the task fails with this exception. In any thread."""
        self.feeder.ended(self.held, outcome.failed(error), 0.0)


def parcel_of(feeder, stored, claim):
    """Return the Parcel for a StoredTask that is reserved by a Claim."""
    return Parcel(
        feeder=feeder,
        held=Held(
            claim,
            stored.queue,
            stored.locks,
            is_silent=not stored.begins_with_commit,
        ),
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
    found = look.feeder.held.for_workers(queue)
    sent = [held for held in found if held.claim.id in look.tasks]
    claimed = sum(held.is_claimed for held in sent)
    # Of what begins without a word as many run as there are slots for.
    idle = max(0, slots // (1 + others) - claimed - relay.taken(queue))
    mine = len(sent) - claimed
    mine -= min(idle, sum(held.is_silent and not held.is_claimed for held in sent))
    room = max(1, AHEAD * slots // (1 + others)) - mine
    room -= relay.unclaimed(queue, besides=look.feeder)
    return room if sent else max(room, 1)


def slots_of_workers(instances, queue):
    """Return how many slots of a queue all workers of Celery together have."""
    return sum(
        instance.slots.get(queue, 0)
        for instance in instances.values()
        if instance.is_celery_worker and not instance.is_draining
    )


def sent_by_queue(scheduler):
    """Return how many tasks were sent to workers of Celery, which have not begun them.

    As far as is written down. A Counter, by the names of queues.
    """
    found = (
        scheduler.shards.find(id)
        for holding in filter(None, scheduler.holdings.values())
        for id in holding.sent
    )
    return Counter(
        stored.queue
        for stored in found
        if stored is not None
        and (stored.is_sent and stored.is_reserved)
        and not stored.is_claimed
    )


def cut_off_queues(instances):
    """Return the names of queues whose tasks nobody can send now, a set.

    ``instances``: {id: Instance}.
    """
    relayed = set().union(*(each.relays for each in instances.values()))
    return relayed.difference(*(each.sends for each in instances.values()))
