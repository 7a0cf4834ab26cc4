"""Ticks: what is due in a site at a moment.

Comes in: a site and a moment. Goes out: tasks that were scheduled, in the current
transaction, and what is to be logged once it is committed: of several instances only
one commits. Called by the ticker, in an environment of the site.
"""

from collections.abc import Callable
from collective.background.api.scheduling import get_scheduler
from collective.background.exceptions import BackgroundError
from collective.background.exceptions import Unavailable
from collective.background.model import states
from collective.background.model.outages import is_outage
from collective.background.recurring.registration import RecurringTask
from collective.background.recurring.registration import registered
from collective.background.recurring.state import find_state
from collective.background.recurring.state import get_state
from collective.background.recurring.state import get_states
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from datetime import timedelta
from functools import partial
from persistent import Persistent
from plone import api
from transaction.interfaces import TransientError
from zoneinfo import ZoneInfo

import logging


logger = logging.getLogger(__name__)

# Clocks that were measured agree to a few seconds. If a tick was done further ahead,
# the clock of who did it was not; up to there it is done, and no second time.
CLOCK_ERROR = timedelta(minutes=1)


@dataclass(kw_only=True, slots=True)
class Report:
    """What a look at a site has brought.

    - ``tasks``: what is to be seen to, RecurringTasks
    - ``upcoming``: the moment of the next tick that is not due, or None
    - ``written``: an object that the transaction has written, or may have; or None
    - ``lines``: functions that log what is to be told once it is committed
    """

    tasks: list[RecurringTask] = field(default_factory=list)
    upcoming: datetime | None = None
    written: Persistent | None = None
    lines: list[Callable] = field(default_factory=list)


def find_due(site, now):
    """Report what is to be seen to, and when the next tick is. Writes nothing."""
    zone = time_zone()
    report = Report()
    upcoming = []
    for task in registered():
        if not task.belongs_to(site):
            continue
        state = find_state(site, task.name)
        if state is None:
            report.tasks.append(task)
        elif state.enabled:
            tick = task.schedule.next(state.done, zone)
            if tick <= now or _is_ahead(state, now):
                report.tasks.append(task)
            else:
                upcoming.append(tick)
    report.upcoming = min(upcoming, default=None)
    return report


def measure(site, now):
    """Write something, so that the commit tells the time."""
    written = get_states(site)
    written._p_changed = True
    return Report(written=written)


def see_to(task, site, now):
    """Schedule the task if it is due; report when its next tick is.

    However many ticks were missed, it is started once. Raises QueueFull,
    ShuttingDown, and conflicts, so that the ticks are still to be done.
    """
    zone = time_zone()
    path = "/".join(site.getPhysicalPath())
    state = get_state(site, task.name, now)
    report = Report(written=state)
    if not state.enabled:
        return report
    if _is_ahead(state, now):
        report.lines.append(
            partial(
                logger.warning,
                "recurring task %r of %s was done up to %s, but it is %s: the clock "
                "was wrong, so ticks may come a second time",
                *(task.name, path, state.done, now),
            )
        )
        state.done = now
    if task.schedule.next(state.done, zone) <= now:
        report.lines += _start(task, path, state, now)
        state.done = now
    report.upcoming = task.schedule.next(state.done, zone)
    return report


def unfinished(state):
    """Return the id of the task that was started last, if it has not ended."""
    record = state.task_id and get_scheduler().record(state.task_id)
    return state.task_id if record and record.state in states.UNFINISHED else None


def time_zone():
    """Return the time zone of the current site."""
    name = api.portal.get_registry_record("plone.portal_timezone", default=None)
    return ZoneInfo(name or "UTC")


def _is_ahead(state, now):
    return state.done - now > CLOCK_ERROR


def _start(task, path, state, now):
    """Schedule the task, or leave the tick out; return what is to be logged."""
    previous = unfinished(state)
    if previous is not None:
        log = logger.debug if state.told == previous else logger.warning
        state.told = previous
        return [
            partial(
                log,
                "recurring task %r of %s is left out: task %s, started at %s, has not "
                "ended yet",
                *(task.name, path, previous, state.last),
            )
        ]
    try:
        state.started(task.start(), now)
    except (Unavailable, TransientError):
        raise
    except Exception as error:  # the tick is done, or it would fail each minute
        if is_outage(error):
            raise
        return [
            partial(
                logger.error,
                "recurring task %r of %s is left out: %s",
                *(task.name, path, error),
                exc_info=None if isinstance(error, BackgroundError) else error,
            )
        ]
    return []
