"""History: how many tasks have ended, and how long they had waited, over time.

Comes in: the TaskRecord of every transition in this process, from ``events.py``.
Goes out: the minutes of the last hour and the hours of the last day, for the
control panel, from the utility IHistory.

What is kept does not grow with the number of tasks: a number of periods for each
site that has had tasks within the last day.
"""

from collective.background.interfaces import IHistory
from collective.background.model import states
from collective.background.model.forking import in_child
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from zope.component import getGlobalSiteManager
from zope.interface import implementer

import threading


MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LENGTHS = {MINUTE: 60, HOUR: 24}  # how many periods are kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """What happened within a minute or an hour.

    ``start``: aware, in UTC; ``ended``: how many tasks have ended, by their state;
    ``started``: how many have started for the first time; ``wait`` and
    ``longest_wait``: how long these had waited, all together and at most (seconds)
    """

    start: datetime
    ended: dict
    started: int
    wait: float
    longest_wait: float

    @property
    def mean_wait(self):
        """Seconds; None if no task has started."""
        return self.wait / self.started if self.started else None


class _Count:
    def __init__(self):
        self.ended = dict.fromkeys(sorted(states.FINISHED), 0)
        self.started = 0
        self.wait = self.longest_wait = 0.0

    def add(self, record):
        if record.state == states.RUNNING:
            self.started += 1
            self.wait += record.wait_time
            self.longest_wait = max(self.longest_wait, record.wait_time)
        else:
            self.ended[record.state] += 1

    def period(self, start):
        return Period(
            start=start,
            ended=dict(self.ended),
            started=self.started,
            wait=self.wait,
            longest_wait=self.longest_wait,
        )


class _Series:
    """The last periods of one length, by their number since 1970."""

    def __init__(self, length):
        self._length = length
        self._size = LENGTHS[length]
        self._counts = {}

    def number(self, moment):
        return int(moment.timestamp() // self._length.total_seconds())

    def add(self, moment, record):
        number = self.number(moment)
        if number not in self._counts:
            self._counts[number] = _Count()
            for old in sorted(self._counts)[: -self._size]:
                del self._counts[old]
        if number in self._counts:  # it was not too old itself
            self._counts[number].add(record)

    def periods(self, now):
        last = self.number(now)
        return [
            self._counts.get(number, _Count()).period(
                datetime.fromtimestamp(number * self._length.total_seconds(), UTC)
            )
            for number in range(last - self._size + 1, last + 1)
        ]

    def is_over(self, moment):
        """Whether nothing has happened within the time that is kept."""
        return max(self._counts) <= self.number(moment) - self._size


@implementer(IHistory)
class History:
    """Used by many threads at once, and by handlers of signals in the midst of it."""

    def __init__(self):
        self._begin_anew()
        in_child(self._begin_anew)

    def _begin_anew(self):
        self._lock = threading.RLock()
        self._sites = {}

    def add(self, record):
        if record.state in states.FINISHED:
            moment = record.finished
        elif record.state == states.RUNNING and record.attempts == 1:
            moment = record.started
        else:
            return
        with self._lock:
            if record.site_path not in self._sites:
                self._forget_silent_sites(moment)
                self._sites[record.site_path] = _new_site()
            for series in self._sites[record.site_path].values():
                series.add(moment, record)

    def periods(self, site_path, length, now):
        with self._lock:
            return self._sites.get(site_path, _new_site())[length].periods(now)

    def _forget_silent_sites(self, now):
        """Sites may have been removed."""
        for path, series in list(self._sites.items()):
            if series[HOUR].is_over(now):
                del self._sites[path]


def _new_site():
    return {length: _Series(length) for length in LENGTHS}


def note_in_history(record):
    """Note that a task has reached the state of its TaskRecord."""
    history = getGlobalSiteManager().queryUtility(IHistory)
    if history is not None:
        history.add(record)
