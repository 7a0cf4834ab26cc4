"""How many tasks there are, and of whom, from the keys of the trees alone.

All functions take the Shards, and work in the transaction of the caller.
"""

from collective.background.database.shard import END
from collective.background.database.shard import FIRST
from collective.background.database.shard import LAST
from collective.background.database.shard import LEAST
from collective.background.database.shard import MOST
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


def wait_counts(shards, now, users=()):
    """Return the Counts of what waits, or is reserved: in all, and of some users.

    ``now``: microseconds; ``users``: (path, id) of each.
    """
    counts = Counts()
    for user in users:
        due = sum(_count_due_of(shard, user) for shard in shards)
        until = (*user, LAST[0])
        whole = sum(len(shard.waiting_of.keys(user, until)) for shard in shards)
        counts.add(user, True, due)
        counts.add(user, False, whole - due)
    later = sum(_count_later(shard, now) for shard in shards)
    counts.set_whole(True, count_waiting(shards) - later)
    counts.set_whole(False, later)
    return counts


def _count_later(shard, now):
    """Return how many tasks wait for their time, or for others."""
    linked = {id for _, id in shard.links.keys(FIRST, LAST, True, True)}
    return len(shard.delayed.keys((now, END), MOST, True, True)) + len(linked)


def _count_due_of(shard, user):
    """Return how many tasks of a user stand in line."""
    count = sum(
        key[5:7] == user and key[-1][0] == key[1]
        for key in shard.locked.keys(LEAST, MOST, True, True)
    )
    after = shard.turns.minKey(("",))
    while after != LAST:
        first = after[:2]
        count += len(range_of(shard.turns, (*first, *user)))
        after = shard.turns.minKey((*first, *LAST))
    return count


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
