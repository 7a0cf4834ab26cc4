"""The ticker: the thread that starts recurring tasks when it is time.

Started in a process that serves, if anything is registered; stopped before tasks are
asked to stop. It wakes up for the next tick, and at least once a minute, as another
process may have changed something. The time is that of the database, see ``clock``.
"""

from collective.background.environment.sites import find_sites
from collective.background.environment.sites import system_environment
from collective.background.exceptions import QueueFull
from collective.background.exceptions import ShuttingDown
from collective.background.executing.clock import clock_of
from collective.background.executing.deployment import works_for
from collective.background.executing.executor import process_executor
from collective.background.model.config import CELERY
from collective.background.recurring.registration import registered
from collective.background.recurring.ticks import find_due
from collective.background.recurring.ticks import measure
from collective.background.recurring.ticks import see_to
from collective.background.telling.troubles import Troubles
from functools import partial
from time import time
from transaction.interfaces import TransientError

import logging
import threading
import transaction


logger = logging.getLogger(__name__)

LOOKING = "recurring tasks are not looked for"
LONGEST = 60.0  # seconds between two looks
ATTEMPTS = 5  # of a transaction; all instances wake up at the same time
MEASUREMENTS = 2  # commits; see Clock.note
JOIN = 2.0  # seconds; far more than a transaction takes


def start_ticker(event):
    """Called when this process begins to serve."""
    if event.executor.settings.role == CELERY:
        return  # instances that reserve tasks schedule them, too
    if registered():
        _check_queues(event.executor.settings.queues)
        ticker = Ticker(event.database)
        ticker.start()
        event.executor.before_drain(ticker.stop)


def _check_queues(known):
    """Say at once what would fail at each tick."""
    for task in registered():
        if task.queue is not None and task.queue not in known:
            logger.error(
                "recurring task %r cannot run: there is no queue %r; there are: %s "
                "(the setting 'queues' makes more)",
                *(task.name, task.queue, ", ".join(known)),
            )


class Ticker:
    """``database``: of the sites."""

    def __init__(self, database):
        self._database = database
        self._troubles = Troubles(logger)
        self._refused = set()  # (path, name) of tasks for which there was no room
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
        """Start no more tasks, and let the transaction at hand come to its end.

        It may not, as long as the database is away: nobody waits for long.
        """
        self._stopping.set()
        self._thread.join(JOIN)

    def _run(self):
        while not self._stopping.is_set():
            try:
                seconds = self.look()
                self._troubles.is_over(LOOKING)
            except ShuttingDown:
                return  # the next process makes up for it
            except Exception as error:
                self._troubles.tell(LOOKING, error)
                seconds = LONGEST
            self._stopping.wait(seconds)

    def look(self):
        """Do what is due in all sites; return for how many seconds to wait.

        What fails is logged, and done again a minute later. Raises ShuttingDown.
        """
        waits = [LONGEST]
        for path in self._site_paths():
            what = f"recurring tasks of {path} are not started"
            try:
                waits.append(self._look_into(path))
                self._troubles.is_over(what)
            except ShuttingDown:
                raise
            except Exception as error:
                self._troubles.tell(what, error)
        return min(waits)

    def _site_paths(self):
        """Return the paths of the sites for which this process works."""
        deployment = process_executor().settings.deployment
        with system_environment(self._database) as env, transaction.manager:
            sites = [("/".join(s.getPhysicalPath()), s) for s in find_sites(env.app)]
            return [path for path, s in sites if works_for(s, path, deployment)]

    def _look_into(self, path):
        clock, report = self._visit(path, find_due)
        for _ in range(MEASUREMENTS):
            # A clock that is fast must not do anything too early.
            if report.tasks and not clock.is_measured:
                self._visit(path, measure)
                clock, report = self._visit(path, find_due)
        waits = [_seconds_until(clock, report)]
        for task in report.tasks:
            waits.append(self._see_to(path, task))
        return min(waits)

    def _see_to(self, path, task):
        """See to a task in a transaction of its own, which holds up no other."""
        what = f"recurring task {task.name!r} of {path} is not started"
        try:
            clock, report = self._visit(path, partial(see_to, task))
        except ShuttingDown:
            raise
        except QueueFull as error:
            log = logger.debug if (path, task.name) in self._refused else logger.warning
            log("recurring task %r of %s has to wait: %s", task.name, path, error)
            self._refused.add((path, task.name))
            return LONGEST
        except Exception as error:
            self._troubles.tell(what, error)
            return LONGEST
        self._troubles.is_over(what)
        self._refused.discard((path, task.name))
        return _seconds_until(clock, report)

    def _visit(self, path, function):
        """Return the Clock of a site, and what ``function(site, now)`` reports of it.

        It is committed then. After a conflict it is called again, a few times.
        """
        for attempt in range(1, ATTEMPTS + 1):
            if self._stopping.is_set():
                raise ShuttingDown("no more recurring tasks are started")
            try:
                with system_environment(self._database, path) as env:
                    clock = clock_of(env.site._p_jar.db())
                    report = _commit(env.site, clock, function)
            except TransientError as conflict:
                if attempt == ATTEMPTS:
                    raise
                # Most likely another instance was a little faster.
                logger.debug("recurring tasks of %s conflict: %s", path, conflict)
            else:
                for line in report.lines:
                    line()
                return clock, report


def _commit(site, clock, function):
    before = time()
    with transaction.manager as current:
        current.note("Recurring tasks")
        report = function(site, clock.now())
        serial = getattr(report.written, "_p_serial", None)
    if report.written is not None:
        # If somebody else has written it since, that is a moment between as well.
        report.written._p_activate()
        if report.written._p_serial != serial:
            clock.note(report.written._p_serial, before, time())
    return report


def _seconds_until(clock, report):
    if report.upcoming is None:
        return LONGEST
    return clock.seconds_until(report.upcoming)
