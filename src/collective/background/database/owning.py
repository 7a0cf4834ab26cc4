"""Owning: which instance looks first into which shards.

So that not all of them try the same tasks. By rendezvous hashing (Thaler and
Ravishankar 1998) of shard and instance, so who comes or goes changes little for the
others; but nobody has more than his share of all slots. Who begins nothing more, as he
waits for the end of what runs, has nothing.
"""

from collections import Counter
from collective.background.database.shard import SHARDS
from functools import lru_cache
from hashlib import blake2b
from math import ceil


def owned(look, queue=None):
    """Return the numbers of the shards that the instance of a Look owns, a frozenset.

    Among all that have a queue; None: that execute anything.
    """
    feeder = look.feeder
    if feeder.is_stopping or not feeder.executes:
        return frozenset()
    slots = {
        id: instance.slots
        for id, instance in look.instances.items()
        if not instance.is_draining
    }
    slots[look.me] = feeder.settings.queues
    numbers = {
        id: sum(each.values()) if queue is None else each.get(queue, 0)
        for id, each in slots.items()
    }
    return _owned(tuple(sorted(numbers.items())), look.me)


@lru_cache(maxsize=64)
def _owned(slots, me):
    owners = owners_of(dict(slots))
    return frozenset(index for index, owner in enumerate(owners) if owner == me)


def owners_of(slots):
    """Return the ids of the owners of all shards, a list.

    ``slots``: how many slots each instance has, by its id.
    """
    whole = sum(slots.values())
    left = Counter({id: ceil(SHARDS * own / whole) for id, own in slots.items()})
    owners = []
    for index in range(SHARDS):
        owner = max(+left, key=lambda id, index=index: _rank(index, id))
        left[owner] -= 1
        owners.append(owner)
    return owners


def _rank(index, id):
    return blake2b(f"{index} {id}".encode(), digest_size=8).digest()
