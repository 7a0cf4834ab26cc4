"""Standing in line: all that has to be known of a task in order to reserve it.

It is in the keys of the lines, so that no task is loaded for it.
"""

from collective.background.database.shard import hash_of
from collective.background.database.shard import microseconds
from collective.background.database.shard import SHARDS
from collective.background.database.shard import user_of
from typing import NamedTuple


LANES = 8  # of the line of a lock; a divisor of the number of shards


class Stand(NamedTuple):
    """- ``queue``: its name; ``rank``: the negative priority; ``number``: tells its age
    - ``path``, ``user``: the folder and the id of its user
    - ``locks``: all that it needs, a tuple
    """

    queue: str
    rank: int
    number: int
    path: str
    user: str
    locks: tuple

    @property
    def in_line(self):
        """Return the key in ``line`` of a Shard."""
        return self.queue, self.rank, self.number

    @property
    def in_turns(self):
        """Return the key in ``turns`` of a Shard."""
        return self.queue, self.rank, self.path, self.user, self.number

    def lane(self, lock):
        """Return the number of the Shard in whose ``locked`` it is for a lock."""
        return lanes_of(lock)[self.number % LANES]

    def behind(self, lock):
        """Return the key there."""
        user = self.path, self.user
        rank = self.rank, self.number
        return hash_of(lock), lock, *rank, self.queue, *user, self.locks


def lanes_of(lock):
    """Return the numbers of the shards in which tasks stand in line for a lock.

    By chance in one of them: in a single tree those that come at the same time would
    conflict. Several locks have the same ones. The first one tells who owns the line.
    """
    first = hash_of(lock) % SHARDS // LANES * LANES
    return range(first, first + LANES)


def stand_of(task):
    """Return the Stand of a StoredTask."""
    user = user_of(task.user_path, task.user_id)
    return Stand(task.queue, -task.priority, task.number, *user, task.locks)


def delayed_key(task):
    """Return the key of a StoredTask in ``delayed`` of its Shard."""
    return microseconds(task.eta), task.number, tuple(stand_of(task))


def newly_in_line(shards):
    """Return what the current transaction has put in line, without locks.

    ``shards``: Shards. Tasks by their id; it is changed with what they do.
    """
    current = shards._p_jar.transaction_manager.get()
    try:
        return current.data(shards)
    except KeyError:
        current.set_data(shards, tasks := {})
        return tasks
