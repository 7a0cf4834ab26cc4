"""The ticker: the thread that starts recurring tasks when it is time.

Started with Zope if anything is registered; stopped before tasks are asked to
stop. It wakes up for the next tick, and at least once a minute, as another
process may have changed something.
"""

from collective.background.environment.sites import find_sites
from collective.background.environment.sites import system_environment
from collective.background.exceptions import ShuttingDown
from collective.background.recurring.registration import registered
from collective.background.recurring.ticks import start_due_tasks
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from transaction.interfaces import TransientError

import logging
import threading
import transaction


logger = logging.getLogger(__name__)

LONGEST = timedelta(minutes=1)
ATTEMPTS = 3
JOIN = 2.0  # seconds; far more than a transaction takes


def start_ticker(event):
    """Called when this process begins to serve."""
    if registered():
        ticker = Ticker(event.database)
        ticker.start()
        event.executor.before_drain(ticker.stop)


class Ticker:
    """``database``: of the sites. ``clock()``: returns the moment that it is."""

    def __init__(self, database, clock=lambda: datetime.now(UTC)):
        self._database = database
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="background-recurring", daemon=True
        )

    def start(self):
        for task in registered():
            logger.info(
                "recurring task %r: %s, as %s", task.name, task.schedule, task.user
            )
        self._thread.start()

    def stop(self):
        """Start no more tasks, and let the transaction at hand come to its end."""
        self._stopping.set()
        self._thread.join(JOIN)

    def _run(self):
        while not self._stopping.is_set():
            now = self._clock()
            try:
                moment = tick(self._database, now)
            except ShuttingDown:
                return  # the next process makes up for it
            except Exception:
                logger.exception("looking for recurring tasks failed")
                moment = now + LONGEST
            self._stopping.wait(seconds_until(moment, self._clock()))


def seconds_until(moment, now):
    """How long to wait; not for ever, should the clock be set back meanwhile."""
    return min(max(moment - now, timedelta(0)), LONGEST).total_seconds()


def tick(database, now):
    """Do what is due in all sites; return the moment when there is more to do.

    What fails is logged, and done again a minute later. Raises ShuttingDown.
    """
    moments = [now + LONGEST]
    for path in _site_paths(database):
        try:
            moment = _tick_site(database, path, now)
        except ShuttingDown:
            raise
        except Exception:
            logger.exception("recurring tasks of %s could not be started", path)
        else:
            moments.append(moment or moments[0])
    return min(moments)


def _tick_site(database, path, now):
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with (
                system_environment(database, path) as env,
                transaction.manager as current,
            ):
                current.note("Recurring tasks")
                return start_due_tasks(env.site, now)
        except TransientError as conflict:
            if attempt == ATTEMPTS:
                raise
            # Most likely another instance was a little faster.
            logger.info("recurring tasks of %s conflict: %s", path, conflict)


def _site_paths(database):
    """Return the paths of the sites in which the add-on is installed."""
    with system_environment(database) as env, transaction.manager:
        return ["/".join(site.getPhysicalPath()) for site in find_sites(env.app)]
