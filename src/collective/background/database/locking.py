"""The lines of locks, as the shards have them.

In the shard of a lock: so whoever looks for the first one in line looks there only.
Within a shard, locks are in the order of their hashes. Tasks are not loaded.
"""

from collective.background.database.shard import hash_of
from collective.background.database.shard import MOST
from collective.background.database.shard import range_of
from collective.background.database.shard import SHARDS
from collective.background.database.standing import Stand

import random


START = (0,)  # where the first lock of a shard is, if there is any
TAKERS = 64  # numbers in each shard, for all locks there
BITS = 62  # of such a number


def line_of(shards, lock):
    """Yield (Stand, StoredTask) of all in the line of a lock, the first one first."""
    for key, task in range_of(shards.of_text(lock).locked, (hash_of(lock), lock)):
        _, _, rank, number, queue, path, user, locks = key
        yield Stand(queue, rank, number, path, user, locks), task


def locks_in(shard, place=START):
    """Yield (place, lock) of each lock in a shard for which tasks stand in line.

    ``place``: one that was yielded before; those behind it come.
    """
    while (key := shard.locked.minKey(place)) != MOST:
        place = (key[0], key[1] + "\0")  # where the next text is that there can be
        yield place, key[1]


def cycle(shards, indexes, start):
    """Yield (place, lock) of each lock in some of the shards, once.

    ``shards``: a tuple of all; ``indexes``: of those that are wanted; ``start``: a
    place that was yielded before, or (0, START). Those behind it come first.
    """
    index, inside = start
    for later in sorted(indexes, key=lambda each: (each < index, each)):
        for place, lock in locks_in(shards[later], inside if later == index else START):
            yield (later, place), lock
    if index in indexes:
        for place, lock in locks_in(shards[index]):
            if place > inside:
                return
            yield (index, place), lock


def take(shards, text):
    """Somebody takes a lock, or one more of a queue with a limit.

    So who does the same at this very moment conflicts. As few numbers are enough for
    all texts, nothing has to be tidied up; two that share one hardly meet.
    """
    takers = shards.of_text(text).takers
    takers[hash_of(text) // SHARDS % TAKERS] = random.getrandbits(BITS)
