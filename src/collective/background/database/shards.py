"""Where tasks are kept, and how they are found: many BTrees instead of one.

Transactions that schedule tasks at the same time must not conflict, neither with one
another nor with the instances that execute. BTrees resolve changes of the same
bucket, but not when it is split or emptied, or its first item is taken away. So each
transaction has a shard of its own, chosen at random; what waits is in other trees
than what has ended; and trees have a first and a last item that stay.

The index is changed when a task is scheduled, and when it has ended; not meanwhile.
What is reserved by an instance is among what waits, and in the Holding of that
instance.

An id has the shard and the number of its task in it, so no tree is needed to find a
task by its id.
"""

from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from collective.background.model import states
from heapq import merge
from operator import itemgetter
from persistent import Persistent
from time import time
from zlib import crc32

import random
import secrets


SHARDS = 64
VERSION = 1

# Keys of the items that stay, before and after all others: of tuples that begin with a
# text, and of those that begin with a number.
FIRST, LAST = (), ("\U0010ffff",)
LEAST, MOST = (-1,), (2**63,)
END = 2**63  # larger than any number or moment

# What people want of a task that an instance has.
CANCEL = "cancel"
FORGET = "forget"

RANDOM_BITS = 10  # of a number, behind the microseconds
NUMBER = slice(2, 18)  # where an id has it


def new_id(connection):
    """Return (id, number) of a new task.

    All of a connection's transaction have one shard.
    """
    current = connection.transaction_manager.get()
    try:
        shard = current.data(Shards)
    except KeyError:
        shard = random.randrange(SHARDS)
        current.set_data(Shards, shard)
    number = int(time() * 1_000_000) << RANDOM_BITS | random.getrandbits(RANDOM_BITS)
    return f"{shard:02x}{number:016x}{secrets.token_hex(7)}", number


def number_of(id):
    """Return the number that is in an id; -1 if it is none of ours."""
    try:
        return int(id[NUMBER], 16)
    except ValueError:
        return -1


def microseconds(moment):
    """Return a datetime as microseconds since 1970."""
    return int(moment.timestamp() * 1_000_000)


def _new_tree(first=FIRST, last=LAST):
    return OOBTree({first: None, last: None})


class Shard(Persistent):
    """One of many places for tasks. Values are StoredTasks unless it says otherwise.

    - ``waiting``, ``ended``: by state and age, the newest first
    - ``waiting_of``, ``ended_of``: by user, state and age
    - ``line``: those that may start: by queue, priority and age, the first one first
    - ``delayed``: those that may start later, by that moment
    - ``expiring``: those that have ended, by the moment at which they are forgotten
    - ``links``: of those that wait for others: by the id of the other one, and
      their own
    - ``requests``: what people want of a reserved task, ``CANCEL`` or ``FORGET``, by
      its id
    - ``changes``: of the two above, a number; see ``Feeder``
    - ``unique``: of the task that was the last one with a unique key its id, and its
      fence then: who holds a key once more conflicts with everybody else
    """

    def __init__(self):
        self.version = VERSION
        self.waiting, self.ended = _new_tree(), _new_tree()
        self.waiting_of, self.ended_of = _new_tree(), _new_tree()
        self.line = _new_tree()
        self.delayed, self.expiring = _new_tree(LEAST, MOST), _new_tree(LEAST, MOST)
        self.links = _new_tree()
        self.requests = OOBTree({"": None})
        self.changes = Length()
        self.unique = OOBTree({"": None})

    def trees(self, state):
        """Return the trees in which the tasks of a state are: by age, and by user."""
        if state in states.WAITING:
            return self.waiting, self.waiting_of
        return self.ended, self.ended_of

    def index(self, task):
        by_age, by_user = self.trees(task.state)
        by_age[_age_key(task)] = task
        by_user[_user_key(task)] = task

    def unindex(self, task):
        """Called before the state of a task is changed."""
        by_age, by_user = self.trees(task.state)
        by_age.pop(_age_key(task), None)
        by_user.pop(_user_key(task), None)

    def find(self, id):
        number = -number_of(id)
        for state in (*states.WAITING, *states.FINISHED):
            task = self.trees(state)[0].get((state, number))
            if task is not None and task.id == id:
                return task
        return None


def _age_key(task):
    return task.state, -task.number


def _user_key(task):
    return *_user_of(task.user_path, task.user_id), task.state, -task.number


def _user_of(path, id):
    return path or "", id or ""


def _line_key(task):
    return task.queue, -task.priority, task.number


def _delayed_key(task):
    return microseconds(task.eta), task.number, task.queue, -task.priority


def _expiring_key(task):
    return microseconds(task.finished) + int(task.keep * 1_000_000), task.number


def _range(tree, first):
    """Return the items whose keys begin with ``first``, a tuple."""
    return tree.items(first, (*first, END), True, True) if first else ()


def _heads(line, queue):
    """Yield (rank, task) of the first one of each priority."""
    after = (queue,)
    while (key := line.minKey(after))[0] == queue and key != LAST:
        yield (key[1], key[2]), line[key]
        after = (queue, key[1], END)


class Shards(Persistent):
    """All shards of a scheduler. Methods with ``task`` take a StoredTask."""

    def __init__(self):
        self.version = VERSION
        self._shards = tuple(Shard() for _ in range(SHARDS))

    def of(self, id):
        """Return the shard of the task with this id, whether there is one or not."""
        try:
            return self._shards[int(id[:2], 16) % SHARDS]
        except ValueError:
            return self._shards[0]

    def find(self, id):
        """Return the StoredTask, or None."""
        return self.of(id).find(id)

    # Changes.

    def add(self, task):
        """A task is new."""
        self.wait(task)
        if task.unique is not None:
            self.hold(task)

    def wait(self, task):
        """A task waits again, as its state says."""
        self.of(task.id).index(task)
        self.stand_in_line(task)

    def stand_in_line(self, task):
        """A task waits for nothing but its time and a slot, if it does."""
        if task.after or task.state not in states.WAITING:
            return
        shard = self.of(task.id)
        if task.eta is None:
            shard.line[_line_key(task)] = task
        else:
            shard.delayed[_delayed_key(task)] = task

    def leave(self, task):
        """Called before the state, or the moment, of a task is changed."""
        shard = self.of(task.id)
        shard.unindex(task)
        shard.line.pop(_line_key(task), None)
        if task.eta is not None:
            shard.delayed.pop(_delayed_key(task), None)

    def ended(self, task):
        """A task has ended; see ``leave`` for what comes before that.

        Who asks for something, or waits for it, at this very moment is seen: or this
        transaction conflicts.
        """
        shard = self.of(task.id)
        shard.index(task)
        shard.expiring[_expiring_key(task)] = task
        shard.changes._p_activate()  # or what follows has no effect
        self._p_jar.readCurrent(shard.changes)

    def remove(self, task):
        """Forget a task that has ended."""
        shard = self.of(task.id)
        shard.unindex(task)
        self.no_longer_expiring(task)
        shard.requests.pop(task.id, None)
        if task.unique is not None:
            keys = self._unique(task.unique)
            if keys.get(task.unique, ("",))[0] == task.id:
                del keys[task.unique]

    def no_longer_expiring(self, task):
        """A task that has ended is about to be tried again, or forgotten."""
        if task.finished is not None:
            self.of(task.id).expiring.pop(_expiring_key(task), None)

    # Unique keys.

    def hold(self, task):
        """A task is the holder of its unique key."""
        self._unique(task.unique)[task.unique] = (task.id, task.fence)

    def holder(self, unique):
        """Return the unfinished task that has a unique key, or None."""
        held = self._unique(unique).get(unique)
        task = self.find(held[0]) if held else None
        return None if task is None or task.state in states.FINISHED else task

    def _unique(self, key):
        return self._shards[crc32(key.encode()) % SHARDS].unique

    # What reserved tasks are asked for, and what waits for them.

    def request(self, id, what):
        shard = self.of(id)
        shard.requests[id] = what
        shard.changes.change(1)

    def requested(self, id):
        """Return what is wanted of a task, or None."""
        return self.of(id).requests.get(id) if id else None

    def no_longer_requested(self, id):
        self.of(id).requests.pop(id, None)

    def link(self, before, task):
        """``task`` waits for the one with the id ``before``."""
        shard = self.of(before)
        shard.links[(before, task.id)] = task
        shard.changes.change(1)

    def unlink(self, before, task):
        self.of(before).links.pop((before, task.id), None)

    def successors(self, id):
        """Return the tasks that wait for the one with this id."""
        links = self.of(id).links
        return list(links.values((id,), (id, LAST[0]), True, True))

    # For instances.

    def changes(self):
        """Return the number of each shard that tells whether something is wanted."""
        return [shard.changes() for shard in self._shards]

    def requests_of(self, index):
        """Return the ids of tasks of which something is wanted, of one shard."""
        return [id for id in self._shards[index].requests if id]

    def links_of(self, index):
        """Return the ids of tasks that others wait for, of one shard."""
        links = self._shards[index].links.keys(FIRST, LAST, True, True)
        return sorted({before for before, _ in links})

    def first_in_line(self, queue):
        """Return an iterable of (rank, task) that may start, the first ones first.

        The tasks are not loaded. ``rank``: what to sort by.
        """
        found = (_range(shard.line, (queue,)) for shard in self._shards)
        return (
            ((key[1], key[2]), task) for key, task in merge(*found, key=itemgetter(0))
        )

    def oldest_in_line(self, queue):
        """Return (rank, task) of the one that came first, whatever its priority.

        None if there is none.
        """
        heads = (head for shard in self._shards for head in _heads(shard.line, queue))
        return min(heads, key=lambda head: head[0][1], default=None)

    def due(self, now):
        """Yield (queue, rank, task) of delayed ones whose time has come, in no order.

        As ``first_in_line``. ``now``: microseconds.
        """
        for shard in self._shards:
            for key, task in shard.delayed.items(LEAST, (now, END), True):
                _, number, queue, priority = key
                yield queue, (priority, number), task

    def next_due(self, now):
        """Return when the next delayed task is due after ``now``; 2**63 if none is.

        Both in microseconds.
        """
        return min(shard.delayed.minKey((now, END))[0] for shard in self._shards)

    def count_waiting(self):
        return sum(len(shard.waiting) - 2 for shard in self._shards)

    def count_in_line(self, queue):
        """Return how many tasks of a queue may start, or are reserved."""
        return sum(len(_range(shard.line, (queue,))) for shard in self._shards)

    def count_ended(self):
        return sum(len(shard.expiring) - 2 for shard in self._shards)

    def expired(self, now):
        """Return an iterable of ended tasks that are to be forgotten, oldest first.

        ``now``: microseconds; None: all.
        """
        until = (END - 1 if now is None else now), END
        found = (shard.expiring.items(LEAST, until, True) for shard in self._shards)
        return (task for _, task in merge(*found, key=itemgetter(0)))

    # Lists.

    def waiting(self):
        """Yield all tasks that wait, or are reserved."""
        for shard in self._shards:
            yield from shard.waiting.values(FIRST, LAST, True, True)

    def newest(self, wanted, user=None):
        """Return an iterable of (-number, task) by the state that the index knows.

        ``wanted``: states; ``user``: (path, id) of the one whose tasks are wanted;
        None: everybody's. The newest come first; tasks are not loaded.
        """
        which = 0 if user is None else 1
        first = () if user is None else _user_of(*user)
        found = (
            _range(shard.trees(state)[which], (*first, state))
            for shard in self._shards
            for state in wanted
        )
        pairs = (((key[-1], task) for key, task in items) for items in found)
        return merge(*pairs, key=itemgetter(0))

    def count(self, wanted, user=None):
        """Return how many tasks ``newest`` would yield."""
        which = 0 if user is None else 1
        first = () if user is None else _user_of(*user)
        return sum(
            len(_range(shard.trees(state)[which], (*first, state)))
            for shard in self._shards
            for state in wanted
        )
