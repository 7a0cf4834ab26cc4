"""Observing: which instances are alive, and whether clocks agree, without a word.

For who is no instance himself, and writes nothing. What an instance has written last
has the moment of that, by the clock of the database's server.
"""

from collections import Counter
from collective.background.database.instances import BEATS
from collective.background.database.instances import instances_of
from collective.background.database.instances import SLACK
from collective.background.database.private import own_connection
from dataclasses import dataclass
from dataclasses import field
from persistent.timestamp import TimeStamp
from threading import Event
from time import monotonic
from time import time


PAUSE = 0.1  # seconds between two looks


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """- ``beating``: {id: {queue: slots}} of the instances that are alive
    - ``silent``: the ids of the others
    - ``leases``: {id: seconds} of all of them, as far as they have told
    - ``relayed``: the names of the queues whose tasks those that are alive send to
      workers of Celery; ``cut_off``: the ids of those that cannot reach the broker
    - ``offset``: how many seconds the clock of the database's server is ahead of that
      of this machine, roughly; None: nothing was written meanwhile
    """

    beating: dict
    silent: frozenset
    offset: float | None
    leases: dict = field(default_factory=dict)
    relayed: frozenset = frozenset()
    cut_off: frozenset = frozenset()

    @property
    def slots(self):
        """Those of all that are alive together, a Counter by the names of queues."""
        return sum(map(Counter, self.beating.values()), Counter())


def observe(database, lease):
    """Return what is Observed of the instances in Zope's database.

    ``lease``: seconds, as in the settings; an instance may have another one. Takes no
    time if all have told lately that they are alive; else as long as a heartbeat may
    take.
    """
    with own_connection(database) as (connection, manager):
        manager.begin()
        leases = (each.lease for each in instances_of(connection).values())
        longest = max((lease, *leases)) / BEATS + SLACK
        first = _beats(connection)
        now = time()
        offsets = {id: moment - now for id, (_, moment) in first.items()}
        if all(-longest <= offset <= SLACK for offset in offsets.values()):
            return _observed(connection, set(first), offsets.values())
        return _watch(connection, manager, first, longest)


def _watch(connection, manager, first, longest):
    """Return what is Observed until all were heard of, or for so many seconds."""
    beating, offsets = set(), []
    end = monotonic() + longest
    while monotonic() < end:
        manager.begin()
        beats = _beats(connection)
        for id in set(beats) - beating:
            beat, moment = beats[id]
            if beat != first.get(id, (None,))[0]:
                beating.add(id)
                offsets.append(moment - time())
        if beating >= set(beats):
            break
        Event().wait(PAUSE)
    return _observed(connection, beating, offsets)


def _beats(connection):
    """Return {id: (beat, when that was written)} of all instances."""
    found = {}
    for id, instance in instances_of(connection).items():
        instance._p_activate()
        found[id] = instance.beat, TimeStamp(instance._p_serial).timeTime()
    return found


def _observed(connection, beating, offsets):
    instances = instances_of(connection)
    alive = {id: instances[id] for id in beating & set(instances)}
    return Observed(
        beating={id: dict(each.slots) for id, each in alive.items()},
        relayed=frozenset().union(*(each.relays for each in alive.values())),
        cut_off=frozenset(id for id, each in alive.items() if each.is_cut_off),
        silent=frozenset(set(instances) - beating),
        leases={id: each.lease for id, each in instances.items() if each.lease},
        # What took long to be heard of is the farther away.
        offset=min(offsets, key=abs, default=None),
    )
