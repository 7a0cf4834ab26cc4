"""The clock that all instances of a database have in common.

The id of a transaction is the moment of its commit, by the clock of who makes it: the
server of ZEO or PostgreSQL, or this process if there is none. So each commit of its
own tells a process how far its clock is from that one. Comes in: ids of transactions.
Goes out: the moment that it is, the same for all.
"""

from datetime import datetime
from datetime import UTC
from persistent.timestamp import TimeStamp
from threading import RLock
from time import monotonic
from time import time
from weakref import WeakKeyDictionary

import logging
import os


logger = logging.getLogger(__name__)

FRESH = 3600.0  # seconds that a measurement counts; in an hour few clocks lose a second
STEP = 1.0  # seconds; NTP adjusts a clock in smaller steps, so this one has been set
SLOWEST = 0.001  # seconds per second; ids that move on more slowly do not tell the time
TOLERABLE = 30.0  # seconds that nobody has to be told of


class Clock:
    """The common clock of a database, as this process knows it.

    Before anything was measured, and when the clock of this machine was set since, it
    is that of this machine: who sets a clock sets it right.
    """

    def __init__(self):
        self._lock = RLock()  # a signal may interrupt who holds it, and commit as well
        self._offset = 0.0
        self._last = None  # the latest id, and when it was noted (monotonic)
        self._measured = None  # when the offset was (monotonic)
        self._difference = None  # of the two local clocks at that time, in seconds
        self._told = 0.0  # the offset that was logged last
        self._stands_still = False

    def note(self, tid, before, after):
        """Learn from a transaction of our own, which has just been committed.

        ``tid``: its id, 8 bytes; the serial of what it wrote. ``before`` and ``after``:
        what ``time.time()`` was at some point before, and after it.
        """
        moment = TimeStamp(tid).timeTime()
        noted = monotonic()
        with self._lock:
            if self._last is not None and tid <= self._last[0]:
                return  # another thread was faster to tell of a later one
            moves = self._last and self._moves(moment, noted - (after - before))
            self._last = tid, noted
            # A clock that is set back makes ids that are a little later than the last
            # one, until it has caught up. So one ahead of us has to be seen moving.
            if moment > after and not moves:
                if moves is False:
                    self._set(0.0, noted, stands_still=True)
            else:
                # What fits is kept: how long the commit took is not to move the clock.
                offset = min(max(self.offset, moment - after), moment - before)
                self._set(offset, noted, stands_still=False)

    def _moves(self, moment, began):
        """Whether the ids move on with the time; ``began``: monotonic."""
        tid, noted = self._last
        return moment - TimeStamp(tid).timeTime() > SLOWEST * (began - noted)

    def _set(self, offset, noted, stands_still):
        self._offset = offset
        self._measured = noted
        self._difference = time() - monotonic()
        if stands_still and not self._stands_still:
            logger.warning(
                "the clock of the database's server was set back, and the ids of its "
                "transactions stand still: until it has caught up, this machine's own "
                "clock counts for tasks"
            )
        self._stands_still = stands_still
        if not stands_still and abs(offset - self._told) > TOLERABLE:
            self._tell(offset)

    def _tell(self, offset):
        self._told = offset
        if abs(offset) > TOLERABLE:
            logger.warning(
                "the clock of this machine is %.0f seconds %s that of the database's "
                "server, which counts for tasks; set both right, best with NTP",
                abs(offset),
                "behind" if offset > 0 else "ahead of",
            )
        else:
            logger.info("the clock of this machine is that of the database again")

    @property
    def offset(self):
        """How many seconds the common clock is ahead of the one of this machine."""
        return 0.0 if self._was_set() else self._offset

    @property
    def is_measured(self):
        """Whether the offset is known from a commit of the last hour."""
        return (
            self._measured is not None
            and monotonic() - self._measured < FRESH
            and not self._was_set()
        )

    def _was_set(self):
        """Whether the clock of this machine was set since the offset was measured."""
        return (
            self._difference is not None
            and abs(time() - monotonic() - self._difference) > STEP
        )

    def now(self):
        """Return the moment that it is: an aware datetime, in UTC."""
        return datetime.fromtimestamp(time() + self.offset, UTC)

    def seconds_until(self, moment):
        """Return how many seconds are left until an aware datetime; 0.0 if none."""
        return max(0.0, (moment - self.now()).total_seconds())


_clocks = WeakKeyDictionary()
_lock = RLock()


def clock_of(database):
    """Return the one Clock of this process for a ZODB.DB."""
    with _lock:
        return _clocks.setdefault(database, Clock())


def _begin_anew():
    """In the child of a fork, a lock may be that of a thread which is not there."""
    global _clocks, _lock
    _clocks = WeakKeyDictionary()
    _lock = RLock()


os.register_at_fork(after_in_child=_begin_anew)
