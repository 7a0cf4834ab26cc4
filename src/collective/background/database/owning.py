"""Owning: which instance looks first into which shards.

So that not all of them try the same tasks. By rendezvous hashing (Thaler and
Ravishankar 1998) of shard and instance, so who comes or goes changes little for the
others; but nobody has more than his share of all slots. Who begins nothing more, as he
waits for the end of what runs, has nothing.

Of queues whose tasks go to Celery these are the instances that send them, each with the
same share; its workers own nothing.
"""

from collections import Counter
from collective.background.database.shard import SHARDS
from functools import lru_cache
from hashlib import blake2b
from math import ceil


def owned(look, queue=None):
    """Return the numbers of the shards that the instance of a Look owns, a frozenset.

    Among all that have a queue; None: that execute or send anything.
    """
    feeder = look.feeder
    slots = {
        id: _weights(instance.slots, instance.sends)
        for id, instance in look.instances.items()
        if not (instance.is_draining or instance.is_celery_worker)
    }
    slots[look.me] = _weights(feeder.slots, feeder.relayed)
    numbers = {
        id: sum(each.values()) if queue is None else each.get(queue, 0)
        for id, each in slots.items()
    }
    if feeder.is_stopping or not numbers[look.me]:
        return frozenset()
    return _owned(tuple(sorted(numbers.items())), look.me)


def _weights(slots, relayed):
    return {**dict.fromkeys(relayed, 1), **slots}


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
