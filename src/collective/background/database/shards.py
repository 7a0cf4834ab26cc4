"""Where tasks are kept, and how they are found: many BTrees instead of one.

Transactions that schedule tasks at the same time must not conflict, neither with one
another nor with the workers. BTrees resolve changes of the same bucket, but not when
it is split or emptied, or its first item is taken away. So each transaction has a
shard of its own, chosen at random; what waits is in another tree than what runs or
has ended; and trees have a first and a last item that stay.

The index knows a task by a hint: the state that it had when it was put there. It is
the real state, but for tasks that have succeeded: that they write in their own
transaction, which touches nothing but their status. Under "running" there may be
tasks that have ended, for the moment until the instance has tidied up.
"""

from BTrees.OOBTree import OOBTree
from BTrees.OOBTree import OOTreeSet
from collective.background.model import states
from heapq import merge
from operator import itemgetter
from persistent import Persistent
from zlib import crc32


SHARDS = 64

# Keys of the items that stay, before and after all others: an empty tuple, and one
# with the last of all characters.
FIRST, LAST = (), ("\U0010ffff",)
END = 2**63  # larger than any number or moment


def new_id(connection, id):
    """Return an id like ``id``; all of a connection's transaction have one shard."""
    current = connection.transaction_manager.get()
    try:
        return current.data(Shards) + id[2:]
    except KeyError:
        current.set_data(Shards, id[:2])
        return id


def _new_tree():
    return OOBTree({FIRST: None, LAST: None})


class Shard(Persistent):
    """One of many places for tasks.

    - ``tasks``: StoredTasks by their id
    - ``waiting``, ``running``, ``ended``: the index; StoredTasks by their hint, user
      and queue, the newest first
    - ``expiring``: StoredTasks that have ended, by the time at which they are to
      be forgotten (microseconds) and their id
    - ``cancelled``: ids of running tasks that are asked to stop; ``forgotten``: that
      are to be forgotten as soon as they have ended
    - ``unique``: ids of the tasks that were the last ones with their unique key
    """

    def __init__(self):
        self.tasks = OOBTree({"": None})
        self.waiting, self.running = _new_tree(), _new_tree()
        self.ended, self.expiring = _new_tree(), _new_tree()
        self.cancelled = OOTreeSet([""])
        self.forgotten = OOTreeSet([""])
        self.unique = OOBTree({"": None})

    def add(self, task):
        self.tasks[task.id] = task
        task.hint = task.state
        self.tree(task.hint)[_key(task)] = task

    def remove(self, task):
        """Forget a task."""
        self.tasks.pop(task.id, None)
        self.tree(task.hint).pop(_key(task), None)
        self.no_longer_expiring(task)
        for ids in (self.cancelled, self.forgotten):
            if task.id in ids:
                ids.remove(task.id)

    def move(self, task):
        """The index is to know a task by its present state."""
        self.tree(task.hint).pop(_key(task), None)
        task.hint = task.state
        self.tree(task.hint)[_key(task)] = task
        if task.state in states.FINISHED:
            if task.id in self.cancelled:
                self.cancelled.remove(task.id)
            self.expiring[_expiry(task)] = task
            # Who asks for something at this very moment sees that it has ended, or
            # we see what he asks for.
            self._p_jar.readCurrent(self.cancelled)
            self._p_jar.readCurrent(self.forgotten)

    def tree(self, hint):
        if hint in states.WAITING:
            return self.waiting
        return self.running if hint == states.RUNNING else self.ended

    def no_longer_expiring(self, task):
        """A task that has ended is about to be tried again, or forgotten."""
        if task.finished is not None:
            self.expiring.pop(_expiry(task), None)


def _key(task):
    user = task.user_path or "", task.user_id or ""
    return task.hint, *user, task.queue, -task.number


def _expiry(task):
    """Return when a task is to be forgotten: microseconds as a text, and its id."""
    moment = int((task.finished.timestamp() + task.keep) * 1_000_000)
    return _moment(moment), task.id


def _moment(microseconds):
    # As texts they can be compared with the items that stay.
    return f"{microseconds:020d}"


def _groups(tree, first):
    """Yield (hint, user path, user id, queue), and the items of these.

    ``first``: the first ones of those, which all have in common.
    """
    after = first
    while (key := tree.minKey(after))[: len(first)] == first:
        group = key[:4]
        after = (*group, END)
        yield group, tree.items(group, after)


def _tasks_in(tree):
    """Return all tasks of a tree."""
    return tree.values(FIRST, LAST, True, True)


class Shards(Persistent):
    """All shards of a scheduler."""

    def __init__(self):
        self._shards = tuple(Shard() for _ in range(SHARDS))

    def of(self, id):
        """Return the shard of the task with this id, whether there is one or not."""
        try:
            return self._shards[int(id[:2], 16) % SHARDS]
        except ValueError:
            return self._shards[0]

    def find(self, id):
        """Return the StoredTask, or None."""
        return self.of(id).tasks.get(id)

    def is_cancelled(self, id):
        """Whether a running task is asked to stop."""
        return id in self.of(id).cancelled

    def add(self, task):
        self.of(task.id).add(task)
        if task.unique is not None:
            self._unique(task.unique)[task.unique] = task.id

    def remove(self, task):
        self.of(task.id).remove(task)
        keys = None if task.unique is None else self._unique(task.unique)
        if keys and keys.get(task.unique) == task.id:
            del keys[task.unique]

    def holder(self, unique):
        """Return the unfinished task that has a unique key, or None."""
        task = self.find(self._unique(unique).get(unique) or "")
        return None if task is None or task.state in states.FINISHED else task

    def _unique(self, key):
        return self._shards[crc32(key.encode()) % SHARDS].unique

    def move(self, task):
        """The index is to know a task by its present state."""
        self.of(task.id).move(task)

    def no_longer_expiring(self, task):
        """A task that has ended is about to be tried again."""
        self.of(task.id).no_longer_expiring(task)

    def waiting(self):
        """Yield the tasks that wait."""
        for shard in self._shards:
            yield from _tasks_in(shard.waiting)

    def running(self):
        """Yield the tasks that run, or did so at the last look."""
        for shard in self._shards:
            yield from _tasks_in(shard.running)

    def select(self, selection):
        """Return an iterable of the wanted tasks in their order."""
        found = merge(*self._matching(selection), key=_number)
        return selection.pick(task for _, task in found)

    def count(self, selection):
        return sum(
            1
            for items in self._matching(selection)
            for _, task in items
            if selection.is_coarse or selection.matches(task)
        )

    def _matching(self, selection):
        """Return the items of each group of tasks in which wanted ones may be."""
        matching = []
        user = ()
        if None not in (selection.user_path, selection.user_id):
            user = selection.user_path, selection.user_id
        for shard in self._shards:
            # Of those that seem to run, some may have ended.
            for hint in {states.RUNNING, *selection.states}:
                is_running = hint == states.RUNNING
                for group, items in _groups(shard.tree(hint), (hint, *user)):
                    _, user_path, user_id, queue = group
                    if any(
                        selection.may_contain(
                            site_path=selection.site_path,  # of the only site here
                            user_path=user_path or None,
                            user_id=user_id or None,
                            queue=queue,
                            state=state,
                        )
                        for state in (selection.states if is_running else (hint,))
                    ):
                        matching.append(
                            _really(items, selection) if is_running else items
                        )
        return matching

    def count_waiting(self):
        return sum(len(shard.waiting) - 2 for shard in self._shards)

    def count_ended(self):
        return sum(len(shard.expiring) - 2 for shard in self._shards)

    def expired(self, moment):
        """Return an iterable of ended tasks that are to be forgotten by then.

        The oldest come first. ``moment``: microseconds; None: all.
        """
        until = (_moment(END if moment is None else moment),)
        ended = merge(
            *(shard.expiring.items(FIRST, until, True) for shard in self._shards),
            key=itemgetter(0),
        )
        return (task for _, task in ended)

    def is_forgotten(self, id):
        """Whether a running task is to be forgotten as soon as it has ended."""
        return id in self.of(id).forgotten

    def cancelled(self):
        """Yield the ids of running tasks that are asked to stop."""
        for shard in self._shards:
            yield from (id for id in shard.cancelled if id)


def _number(item):
    key, _ = item
    return key[-1]


def _really(items, selection):
    """Yield the items of those whose real state is wanted."""
    for key, task in items:
        if task.state in selection.states:
            yield key, task
