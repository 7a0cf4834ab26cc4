"""How many tasks there are, and of whom, from the keys of the trees alone.

All functions take the Shards, and work in the transaction of the caller.
"""

from collections import Counter
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


def count_in_line(shards, queues):
    """Return how many tasks may start, or are reserved: by queue, of these."""
    locked = Counter(queue for queue, _ in _locked(shards))
    return {
        queue: locked[queue]
        + sum(len(range_of(shard.line, (queue,))) for shard in shards)
        for queue in queues
    }


def _locked(shards):
    """Yield (queue, user) of each task that stands in line for locks.

    It is found at the first of its locks.
    """
    for shard in shards:
        for key in shard.locked.keys(LEAST, MOST, True, True):
            _, lock, _, _, queue, path, user, locks = key
            if locks[0] == lock:
                yield queue, (path, user)


def count_due(shards, queues, now):
    """Return the same with what is about to be put in line; ``now``: microseconds."""
    counts = Counter(count_in_line(shards, queues))
    for shard in shards:
        for key in shard.delayed.keys(LEAST, (now, END), True):
            counts[Stand(*key[-1]).queue] += 1
    return counts


def count_ended(shards):
    return sum(len(shard.expiring) - 2 for shard in shards)


def wait_counts(shards, now, users=()):
    """Return the Counts of what waits, or is reserved: in all, and of some users.

    ``now``: microseconds; ``users``: (path, id) of each.
    """
    counts = Counts()
    locked = Counter(user for _, user in _locked(shards)) if users else {}
    for user in users:
        due = locked[user] + sum(_count_due_of(shard, user) for shard in shards)
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
    """Return how many tasks of a user stand in line, and for no lock."""
    count = 0
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
