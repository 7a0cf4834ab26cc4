"""The waiting rooms of a process that does not serve, such as a script, or not yet.

There are no looks in it that have counted what waits. So that is done here, but not for
each task, as the whole index may have to be loaded for it.
"""

from collective.background.database.counting import wait_counts
from collective.background.database.private import connected
from collective.background.database.room import COUNTING
from collective.background.database.room import Room
from collective.background.database.shard import microseconds
from collective.background.exceptions import QueueFull
from collective.background.executing.clock import clock_of
from time import monotonic
from weakref import WeakKeyDictionary
from ZODB.utils import z64

import os
import threading


SHARE = 0.02  # of the time, that counting may take at the most

_rooms = WeakKeyDictionary()  # {oid of the scheduler: CountedRoom} by the database
_lock = threading.RLock()


def _begin_anew():
    """In the child of a fork, a lock may be that of a thread which is not there."""
    global _rooms, _lock
    _rooms = WeakKeyDictionary()
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_begin_anew)


def room_of(scheduler):
    """Return the CountedRoom of this process for a scheduler."""
    database, oid = scheduler._p_jar.db(), scheduler.home()
    with _lock:
        rooms = _rooms.setdefault(database, {})
        if oid not in rooms:
            rooms[oid] = CountedRoom()
        return rooms[oid]


class CountedRoom(Room):
    """A Room that is counted when somebody comes in, if that was some time ago."""

    def __init__(self):
        super().__init__(threading.RLock())
        self._count_at = float("-inf")  # of the monotonic clock

    def let_in(self, scheduler, entrant, settings):
        """Let an Entrant into the room of a scheduler; see ``admit``."""
        if monotonic() >= self._count_at:
            self._count(scheduler, settings)
        try:
            self.admit(entrant, settings)
        except QueueFull:
            self._count(scheduler, settings)  # some may have left meanwhile
            self.admit(entrant, settings)

    def _count(self, scheduler, settings):
        began = monotonic()
        count(self, scheduler, settings)
        took = monotonic() - began
        self._count_at = began + max(COUNTING, took / SHARE)


def count(room, scheduler, settings):
    """Count for a Room what waits in a scheduler, in a transaction of its own.

    ``settings``: those of the process.
    """
    if scheduler._p_serial == z64:  # what only this transaction knows is empty
        return
    look = room.begin_look()
    database = scheduler._p_jar.db()
    with connected(database, scheduler._p_oid) as (mine, manager):
        manager.begin()
        now = microseconds(clock_of(database).now())
        users = room.whose(settings)
        counts = wait_counts(mine.shards, now, users)
    room.counted(counts, look, users)
