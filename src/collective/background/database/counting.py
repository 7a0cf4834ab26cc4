"""How many tasks there are, and of whom, from the keys of the trees alone.

All functions take the Shards, and work in the transaction of the caller.
"""

from collective.background.database.shard import END
from collective.background.database.shard import FIRST
from collective.background.database.shard import LAST
from collective.background.database.shard import LEAST
from collective.background.database.shard import MOST
from collective.background.database.shard import number_of
from collective.background.database.shard import range_of
from collective.background.database.standing import Stand
from collective.background.scheduling.room import Counts


def count_waiting(shards):
    """Return how many tasks wait, for whatever, or are reserved."""
    return sum(len(shard.waiting) - 2 for shard in shards)


def count_in_line(shards, queue):
    """Return how many tasks of a queue may start, or are reserved."""
    return sum(
        len(range_of(shard.line, (queue,))) + _count_locked(shard, queue)
        for shard in shards
    )


def _count_locked(shard, queue):
    """Return how many tasks of a queue stand in line for locks, of one shard.

    Each is counted at the first of its locks.
    """
    keys = shard.locked.keys(LEAST, MOST, True, True)
    return sum(key[4] == queue and key[-1][0] == key[1] for key in keys)


def count_due(shards, queue, now):
    """Return how many tasks of a queue may start, or have; ``now``: microseconds."""
    overdue = sum(
        Stand(*key[-1]).queue == queue
        for shard in shards
        for key in shard.delayed.keys(LEAST, (now, END), True)
    )
    return count_in_line(shards, queue) + overdue


def count_ended(shards):
    return sum(len(shard.expiring) - 2 for shard in shards)


def wait_counts(shards, now, *, by_user):
    """Return the Counts of what waits, or is reserved.

    ``now``: microseconds. ``by_user``: whether each user's tasks are counted, too; for
    that all keys are looked at.
    """
    counts = Counts()
    if by_user:
        later = set(_later(shards, now))
        for shard in shards:
            for key in shard.waiting_of.keys(FIRST, LAST, True, True):
                *user, _, number, _ = key
                counts.add(tuple(user), -number not in later)
        return counts
    later = len(set(_later(shards, now)))
    counts.set_whole(True, count_waiting(shards) - later)
    counts.set_whole(False, later)
    return counts


def _later(shards, now):
    """Yield the numbers of tasks that are not due."""
    for shard in shards:
        for _, number, *_ in shard.delayed.keys((now, END), MOST, True, True):
            yield number
        for _, id in shard.links.keys(FIRST, LAST, True, True):
            yield number_of(id)


def paths_of_users(shards):
    """Return the paths of all user folders whose users have tasks; "": of none."""
    paths = set()
    for shard in shards:
        for tree in (shard.waiting_of, shard.ended_of):
            # From the first key of one path to the first one of the next.
            key = tree.minKey(("",))
            while key != LAST:
                paths.add(key[0])
                key = tree.minKey((key[0] + "\0",))
    return paths
