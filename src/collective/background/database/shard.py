"""Where tasks are kept, and how they are found: many BTrees instead of one.

Transactions that schedule tasks at the same time must not conflict, neither with one
another nor with the instances that execute. BTrees resolve changes of the same
bucket, but not when it is split or emptied, or its first item is taken away. So each
transaction has a shard of its own, chosen at random; what waits is in other trees
than what has ended; and trees have a first and a last item that stay.

The index is changed when a task is scheduled, when its time has come, and when it has
ended; not when it is reserved. What is reserved by an instance is among what waits, and
in the Holding of that instance.

An id has the shard and the number of its task in it, so no tree is needed to find a
task by its id.
"""

from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from collective.background.model import states
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

# What people want of a task that an instance has, or of a large group.
CANCEL = "cancel"
FORGET = "forget"
RETRY = "retry"
DISMISS = "dismiss"

RANDOM_BITS = 10  # of a number, behind the microseconds
NUMBER = slice(2, 18)  # where an id has it


def new_id(connection, among=range(SHARDS)):
    """Return (id, number) of a new task.

    All of a connection's transaction have one shard. ``among``: the numbers of those
    from which it is chosen.
    """
    current = connection.transaction_manager.get()
    try:
        shard = current.data(new_id)
    except KeyError:
        shard = random.choice(among)
        current.set_data(new_id, shard)
    number = number_at(int(time() * 1_000_000)) | random.getrandbits(RANDOM_BITS)
    return f"{shard:02x}{number:016x}{secrets.token_hex(7)}", number


def number_at(moment):
    """Return the least number of tasks of a moment; microseconds since 1970."""
    return moment << RANDOM_BITS


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

    - ``waiting``, ``ended``: by state and age, the newest first; what workers elsewhere
      have begun is in the former, as running
    - ``waiting_of``, ``ended_of``: by user, state and age
    - ``line``: those that may start: by queue, priority and age, the first one first
    - ``turns``: the same by queue, priority, user and age
    - ``locked``: both for those with locks, in a shard for each lock and nowhere
      else: by lock, priority and age, see ``locking.py``
    - ``takers``: a number that is new whenever somebody takes a lock, by a hash of that
    - ``delayed``: those that may start later, by that moment
    - ``expiring``: those that have ended, by the moment at which they are forgotten
    - ``elsewhere``: those that workers elsewhere have, by their ids, and how many that
      are (``number_elsewhere``); None as long as there was none
    - ``links``: of those that wait for others: by the id of the other one, and
      their own
    - ``requests``: what people want of a reserved task, ``CANCEL`` or ``FORGET``, and
      who, by its id; and of large groups, see ``portions.py``
    - ``changes``: a number that each change of the two above raises, so that they are
      looked at only then; see ``following.py``
    - ``unique``: of the task that was the last one with a unique key its id, and its
      fence then: who holds a key once more conflicts with everybody else
    """

    elsewhere = number_elsewhere = None

    def __init__(self):
        self.version = VERSION
        self.waiting, self.ended = _new_tree(), _new_tree()
        self.waiting_of, self.ended_of = _new_tree(), _new_tree()
        self.line, self.turns = _new_tree(), _new_tree()
        self.locked = _new_tree(LEAST, MOST)
        self.takers = OOBTree({-1: None})
        self.delayed, self.expiring = _new_tree(LEAST, MOST), _new_tree(LEAST, MOST)
        self.links = _new_tree()
        self.requests = OOBTree({"": None})
        self.changes = Length()
        self.unique = OOBTree({"": None})

    def trees(self, state):
        """Return the trees in which the tasks of a state are: by age, and by user."""
        if state in states.UNFINISHED:
            return self.waiting, self.waiting_of
        return self.ended, self.ended_of

    def index(self, task):
        by_age, by_user = self.trees(_listed_as(task))
        by_age[_age_key(task)] = task
        by_user[_user_key(task)] = task

    def unindex(self, task):
        """Called before that is changed as which a task is listed."""
        by_age, by_user = self.trees(_listed_as(task))
        by_age.pop(_age_key(task), None)
        by_user.pop(_user_key(task), None)

    def add_elsewhere(self, task):
        if self.elsewhere is None:
            self.elsewhere, self.number_elsewhere = OOBTree({"": None}), Length()
        self.number_elsewhere.change(task.id not in self.elsewhere)
        self.elsewhere[task.id] = task

    def remove_elsewhere(self, task):
        if self.elsewhere is not None and task.id in self.elsewhere:
            del self.elsewhere[task.id]
            self.number_elsewhere.change(-1)

    def find(self, id):
        number = -number_of(id)
        for state in (*states.WAITING, states.RUNNING, *states.FINISHED):
            tree, _ = self.trees(state)
            for task in tree.values((state, number), (state, number, LAST[0])):
                if task.id == id:
                    return task
        return None


def _listed_as(task):
    """Return the state by which the index knows a task.

    What runs here waits there; but what a worker elsewhere has begun is in no Holding,
    so nobody else would know of it.
    """
    return states.RUNNING if task.is_elsewhere and task.started else task.state


def _age_key(task):
    return _listed_as(task), -task.number, task.queue


def _user_key(task):
    user = user_of(task.user_path, task.user_id)
    return *user, _listed_as(task), -task.number, task.queue


def user_of(path, id):
    return path or "", id or ""


def hash_of(text):
    """Return a number that says where what belongs to a text is kept."""
    return crc32(text.encode())


def expiring_key(task):
    return microseconds(task.finished) + int(task.keep * 1_000_000), task.number


def range_of(tree, first):
    """Return the items whose keys begin with ``first``, a tuple."""
    return tree.items(first, (*first, END), True, True) if first else ()
