"""Where tasks are kept, and how they are found: many BTrees instead of one.

Transactions that schedule tasks at the same time must not conflict. So tasks are
spread over shards by their ids, which are random; and trees have a first and a last
item that stay. Two changes of a bucket are resolved by BTrees, but not when one of
them empties it or takes its first item away.

The index knows a task by a hint: the state that it had when it was put there. It is
the real state, but for tasks that have succeeded: that they write in their own
transaction, which touches nothing but their status. Under "running" there may be
tasks that have ended, for the moment until the instance has tidied up.
"""

from BTrees.LOBTree import LOBTree
from BTrees.OOBTree import OOBTree
from BTrees.OOBTree import OOTreeSet
from collective.background import states
from heapq import merge
from operator import itemgetter
from persistent import Persistent
from zlib import crc32


SHARDS = 16  # one for each first digit of an id
# Keys of the items that stay: before and after all others.
FIRST, LAST = -(2**63), 2**63 - 1


def _new_numbers():
    return LOBTree({FIRST: None, LAST: None})


def _tasks_in(tree):
    """Return (key, task) of a tree by numbers."""
    return tree.items(FIRST, LAST, True, True)


class Shard(Persistent):
    """One of many places for tasks.

    - ``tasks``: StoredTasks by their id
    - ``index``: trees of StoredTasks, the newest first, by user, queue and hint
    - ``expiring``: StoredTasks that have ended, by the time at which they are to
      be forgotten (microseconds) and their id
    - ``cancelled``: ids of running tasks that are asked to stop; ``forgotten``: that
      are to be forgotten as soon as they have ended
    - ``unique``: ids of the tasks that were the last ones with their unique key
    """

    def __init__(self):
        self.tasks = OOBTree({"": None})
        self.index = OOBTree()
        self.expiring = OOBTree({(FIRST, ""): None, (LAST, ""): None})
        self.cancelled = OOTreeSet([""])
        self.forgotten = OOTreeSet([""])
        self.unique = OOBTree({"": None})

    def add(self, task):
        self.tasks[task.id] = task
        self._add_to_index(task)

    def remove(self, task):
        """Forget a task."""
        self.tasks.pop(task.id, None)
        self._tree(task).pop(-task.number, None)
        self.no_longer_expiring(task)
        for ids in (self.cancelled, self.forgotten):
            if task.id in ids:
                ids.remove(task.id)

    def move(self, task):
        """The index is to know a task by its present state."""
        self._tree(task).pop(-task.number, None)
        task.hint = task.state
        self._add_to_index(task)
        if task.state in states.FINISHED:
            if task.id in self.cancelled:
                self.cancelled.remove(task.id)
            self.expiring[_expiry(task)] = task

    def _add_to_index(self, task):
        key = _key(task)
        if key not in self.index:
            self.index[key] = _new_numbers()
        self.index[key][-task.number] = task

    def _tree(self, task):
        return self.index.get(_key(task), {})

    def no_longer_expiring(self, task):
        """A task that has ended is about to be tried again, or forgotten."""
        if task.finished is not None:
            self.expiring.pop(_expiry(task), None)


def _key(task):
    return task.user_path or "", task.user_id or "", task.queue, task.hint


def _expiry(task):
    """Return when a task is to be forgotten: microseconds, and its id."""
    return int((task.finished.timestamp() + task.keep) * 1_000_000), task.id


class Shards(Persistent):
    """All shards of a scheduler."""

    def __init__(self):
        self._shards = tuple(Shard() for _ in range(SHARDS))

    def __iter__(self):
        return iter(self._shards)

    def of(self, id):
        """Return the shard of the task with this id, whether there is one or not."""
        try:
            return self._shards[int(id[:1], 16)]
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

    def ids(self):
        """Yield the ids of all tasks."""
        for shard in self._shards:
            yield from (id for id in shard.tasks if id)

    def by_hint(self, *hints):
        """Yield the tasks that the index knows by one of these states."""
        for shard in self._shards:
            for key, tree in shard.index.items():
                if key[-1] in hints:
                    yield from (task for _, task in _tasks_in(tree))

    def select(self, selection):
        """Return an iterable of the wanted tasks in their order."""
        found = merge(*self._matching(selection), key=itemgetter(0))
        tasks = (task for _, task in found)
        if not selection.is_coarse:
            tasks = filter(selection.matches, tasks)
        return tasks if selection.is_newest_first else selection.sort(tasks)

    def count(self, selection):
        return sum(
            1
            for items in self._matching(selection)
            for _, task in items
            if selection.is_coarse or selection.matches(task)
        )

    def _matching(self, selection):
        """Return for each tree (key, task) of the tasks in it."""
        matching = []
        for shard in self._shards:
            for (user_path, user_id, queue, hint), tree in shard.index.items():
                facts = {
                    "site_path": selection.site_path,  # of the only site there is
                    "user_path": user_path or None,
                    "user_id": user_id or None,
                    "queue": queue,
                }
                if hint == states.RUNNING:
                    if any(
                        selection.may_contain(**facts, state=state)
                        for state in selection.states
                    ):
                        matching.append(_really(tree, selection))
                elif selection.may_contain(**facts, state=hint):
                    matching.append(_tasks_in(tree))
        return matching

    def count_ended(self):
        return sum(len(shard.expiring) - 2 for shard in self._shards)

    def expired(self, moment):
        """Return an iterable of ended tasks that are to be forgotten by then.

        The oldest come first. ``moment``: microseconds; None: all.
        """
        until = (LAST if moment is None else moment, "")
        ended = merge(
            *(shard.expiring.items(None, until) for shard in self._shards),
            key=itemgetter(0),
        )
        return (task for _, task in ended if task is not None)

    def is_forgotten(self, id):
        """Whether a running task is to be forgotten as soon as it has ended."""
        return id in self.of(id).forgotten

    def cancelled(self):
        """Yield the ids of running tasks that are asked to stop."""
        for shard in self._shards:
            yield from (id for id in shard.cancelled if id)


def _really(tree, selection):
    """Yield (key, task) of those whose real state is wanted."""
    for key, task in _tasks_in(tree):
        if task.state in selection.states:
            yield key, task
