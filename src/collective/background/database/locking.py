"""The lines of locks, as the shards have them.

In the shard of a lock: so whoever looks for the first one in line looks there only.
Within a shard, locks are in the order of their hashes. Tasks are not loaded.
"""

from collective.background.database.locks import Waiting
from collective.background.database.shard import hash_of
from collective.background.database.shard import MOST
from collective.background.database.shard import range_of
from collective.background.database.shard import SHARDS

import random


START = (0,)  # where the first lock of a shard is, if there is any
TAKERS = 64  # numbers in each shard, for all locks there
BITS = 62  # of such a number


def line_of(shards, lock):
    """Yield Waiting for all tasks in the line of a lock, the first one first."""
    for key, task in range_of(shards.of_text(lock).locked, (hash_of(lock), lock)):
        _, _, negative_priority, number, queue, path, id, locks = key
        yield Waiting(
            rank=(negative_priority, number),
            queue=queue,
            user=(path, id),
            locks=locks,
            task=task,
        )


def locks_in(shard, place=START):
    """Yield (place, lock) of each lock in a shard for which tasks stand in line.

    ``place``: one that was yielded before; those behind it come.
    """
    while (key := shard.locked.minKey(place)) != MOST:
        place = (key[0], key[1] + "\0")  # where the next text is that there can be
        yield place, key[1]


def take(shards, text):
    """Somebody takes a lock, or one more of a queue with a limit.

    So who does the same at this very moment conflicts. As few numbers are enough for
    all texts, nothing has to be tidied up; two that share one hardly meet.
    """
    takers = shards.of_text(text).takers
    takers[hash_of(text) // SHARDS % TAKERS] = random.getrandbits(BITS)
