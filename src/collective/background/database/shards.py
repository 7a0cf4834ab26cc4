"""All places for tasks together: adding, finding, and what is next.

Methods work in the transaction of the caller, and take StoredTasks.
"""

from collective.background.database.shard import END
from collective.background.database.shard import expiring_key
from collective.background.database.shard import FIRST
from collective.background.database.shard import hash_of
from collective.background.database.shard import LAST
from collective.background.database.shard import LEAST
from collective.background.database.shard import MOST
from collective.background.database.shard import range_of
from collective.background.database.shard import Shard
from collective.background.database.shard import SHARDS
from collective.background.database.shard import user_of
from collective.background.database.shard import VERSION
from collective.background.database.standing import delayed_key
from collective.background.database.standing import newly_in_line
from collective.background.database.standing import Stand
from collective.background.database.standing import stand_of
from collective.background.database.trail import load_wish
from collective.background.database.trail import store_wish
from collective.background.model import states
from heapq import merge
from itertools import product
from operator import itemgetter
from persistent import Persistent


class Shards(Persistent):
    """All shards of a scheduler. Methods with ``task`` take a StoredTask."""

    def __init__(self):
        self.version = VERSION
        self._shards = tuple(Shard() for _ in range(SHARDS))

    def __iter__(self):
        return iter(self._shards)

    def of(self, id):
        """Return the shard of the task with this id, whether there is one or not."""
        try:
            return self._shards[int(id[:2], 16) % SHARDS]
        except ValueError:
            return self._shards[0]

    def of_text(self, text):
        """Return the shard in which what belongs to a text is, as a key or a lock."""
        return self._shards[hash_of(text) % SHARDS]

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
        """A task waits for nothing but its time, its locks and a slot, if it does."""
        if task.is_elsewhere:
            self.of(task.id).add_elsewhere(task)
            return
        if task.after or task.state not in states.WAITING:
            return
        if task.eta is not None:
            self.of(task.id).delayed[delayed_key(task)] = task
            return
        self._put_in_line(self.of(task.id), stand_of(task), task)
        if not task.locks:
            newly_in_line(self)[task.id] = task

    def come_into_line(self, shard, key):
        """The time of a delayed task of a Shard has come, which is there by ``key``."""
        task = shard.delayed.pop(key)
        self._put_in_line(shard, Stand(*key[-1]), task)

    def _put_in_line(self, shard, stand, task):
        for line, key in self._lines_of(shard, stand):
            line[key] = task

    def _lines_of(self, shard, stand):
        """Yield (tree, key) of each line in which a task stands that is due."""
        if not stand.locks:
            yield shard.line, stand.in_line
            yield shard.turns, stand.in_turns
        for lock in stand.locks:
            yield self._shards[stand.lane(lock)].locked, stand.behind(lock)

    def leave(self, task):
        """Called before the state, or the moment, of a task is changed."""
        shard = self.of(task.id)
        shard.unindex(task)
        for line, key in self._lines_of(shard, stand_of(task)):
            line.pop(key, None)
        newly_in_line(self).pop(task.id, None)
        shard.remove_elsewhere(task)
        if task.eta is not None:
            shard.delayed.pop(delayed_key(task), None)

    def ended(self, task):
        """A task has ended; see ``leave`` for what comes before that.

        Who asks for something, or waits for it, at this very moment is seen: or this
        transaction conflicts.
        """
        shard = self.of(task.id)
        shard.index(task)
        self.expire(task)
        self.protect(task.id)

    def expire(self, what):
        """A task, or a group that is empty, is forgotten when its time has come."""
        self.of(what.id).expiring[expiring_key(what)] = what

    def protect(self, id):
        """A task or a group ends in this transaction, which sees who waits for it."""
        changes = self.of(id).changes
        changes._p_activate()  # or what follows has no effect
        self._p_jar.readCurrent(changes)

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

    def no_longer_expiring(self, what):
        """What has ended is about to be tried again, or forgotten."""
        if what.finished is not None:
            self.of(what.id).expiring.pop(expiring_key(what), None)

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
        return self.of_text(key).unique

    # What reserved tasks are asked for, and what waits for them.

    def request(self, id, what, by=None):
        """Somebody wants something of a task. ``by``: an Intervention, or None."""
        shard = self.of(id)
        shard.requests[id] = store_wish(what, by)
        shard.changes.change(1)

    def requested(self, id):
        """Return what is wanted of a task, or None."""
        return self._wish(id)[0]

    def requested_by(self, id):
        """Return the Intervention of who wants it, or None."""
        return self._wish(id)[1]

    def _wish(self, id):
        return load_wish(self.of(id).requests.get(id) if id else None)

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

    def delayed(self):
        """Yield all tasks that wait for their time."""
        for shard in self._shards:
            yield from shard.delayed.values(LEAST, MOST, True, True)

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

    def newest(self, wanted, users=None, queue=None):
        """Return an iterable of (-number, task) by the state that the index knows.

        ``wanted``: states; ``users``: (path, id) of each whose tasks are wanted,
        ``queue``: the name of theirs; None: all. The newest come first; tasks are not
        loaded.
        """
        pairs = (
            ((key[-2], task) for key, task in items if queue in (None, key[-1]))
            for items in self._items(wanted, users)
        )
        return merge(*pairs, key=itemgetter(0))

    def count(self, wanted, users=None, queue=None):
        """Return how many tasks ``newest`` would yield."""
        return sum(
            len(items)
            if queue is None
            else sum(1 for key, _ in items if key[-1] == queue)
            for items in self._items(wanted, users)
        )

    def _items(self, wanted, users):
        which = 0 if users is None else 1
        firsts = [()] if users is None else [user_of(*user) for user in users]
        for shard, state, first in product(self._shards, wanted, firsts):
            yield range_of(shard.trees(state)[which], (*first, state))
