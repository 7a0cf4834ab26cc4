"""The lines of locks, as the shards have them.

Each has some lanes, in as many shards, and is the line of all that stand there. Within
a shard, locks are in the order of their hashes. Tasks are not loaded.

``shards``: a tuple of all of them.
"""

from collective.background.database.shard import hash_of
from collective.background.database.shard import MOST
from collective.background.database.shard import range_of
from collective.background.database.shard import SHARDS
from collective.background.database.standing import LANES
from collective.background.database.standing import lanes_of
from collective.background.database.standing import Stand
from heapq import merge
from itertools import groupby
from operator import itemgetter

import random


START = (0,)  # where the first lock of a shard is, if there is any
TAKERS = 64  # numbers in each shard, for all locks there
BITS = 62  # of such a number


def line_of(shards, lock):
    """Yield (Stand, StoredTask) of all in the line of a lock, the first one first."""
    place = hash_of(lock), lock
    trees = (shards[lane].locked for lane in lanes_of(lock))
    # Most locks have few tasks, and most lanes none.
    lanes = [range_of(tree, place) for tree in trees if tree.minKey(place)[:2] == place]
    for key, task in merge(*lanes, key=itemgetter(0)):
        _, _, rank, number, queue, path, user, locks = key
        yield Stand(queue, rank, number, path, user, locks), task


def cycle(shards, firsts, start):
    """Yield (place, lock) of each lock for which tasks stand in line, once.

    ``firsts``: the numbers of the first lanes of those that are wanted; ``start``: a
    place that was yielded before, or (0, START). Those behind it come first.
    """
    first, inside = start
    for later in sorted(firsts, key=lambda each: (each < first, each)):
        for place, lock in _locks(shards, later, inside if later == first else START):
            yield (later, place), lock
    if first in firsts:
        for place, lock in _locks(shards, first, START):
            if place > inside:
                return
            yield (first, place), lock


def _locks(shards, first, place):
    """Yield (place, lock) in the lanes from the first one on, behind a place."""
    lanes = (_locks_in(shard, place) for shard in shards[first : first + LANES])
    return (found for found, _ in groupby(merge(*lanes)))


def _locks_in(shard, place):
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
