"""Ticks: what is due in a site at a moment.

Comes in: a site and a moment. Goes out: tasks that were scheduled, in the
current transaction. Called by the ticker, in an environment of the site.
"""

from collective.background.api.scheduling import get_scheduler
from collective.background.exceptions import BackgroundError
from collective.background.exceptions import ShuttingDown
from collective.background.model import states
from collective.background.recurring.registration import registered
from collective.background.recurring.state import get_state
from datetime import timedelta
from plone import api
from transaction.interfaces import TransientError
from zoneinfo import ZoneInfo

import logging


logger = logging.getLogger(__name__)

# If a tick is further ahead, the clock was wrong when it was done. It cannot be
# told from a tick that comes a second time before.
CLOCK_ERROR = timedelta(days=1)


def start_due_tasks(site, now):
    """Schedule the tasks that are due; return the moment of the next tick, or None.

    However many ticks of a task were missed, it is started once.
    Raises ShuttingDown, and conflicts, so that the ticks are still to be done.
    """
    zone = time_zone()
    path = "/".join(site.getPhysicalPath())
    upcoming = []
    for task in registered():
        if not task.belongs_to(site):
            continue
        state = get_state(site, task.name, now)
        if not state.enabled:
            continue
        if state.done - now > CLOCK_ERROR:
            logger.warning(
                "recurring task %r of %s was done up to %s: the clock was wrong",
                task.name,
                path,
                state.done,
            )
            state.done = now
        if task.schedule.next(state.done, zone) <= now:
            _start(task, path, state, now)
            state.done = now
        upcoming.append(task.schedule.next(state.done, zone))
    return min(upcoming, default=None)


def unfinished(state):
    """Return the id of the task that was started last, if it has not ended."""
    record = state.task_id and get_scheduler().record(state.task_id)
    return state.task_id if record and record.state in states.UNFINISHED else None


def time_zone():
    """Return the time zone of the current site."""
    name = api.portal.get_registry_record("plone.portal_timezone", default=None)
    return ZoneInfo(name or "UTC")


def _start(task, path, state, now):
    previous = unfinished(state)
    if previous is not None:
        logger.warning(
            "recurring task %r of %s is left out: task %s, started at %s, has not "
            "ended yet",
            task.name,
            path,
            previous,
            state.last,
        )
        return
    try:
        state.started(task.start(), now)
    except (ShuttingDown, TransientError):
        raise
    except Exception as error:  # the others have to go on
        logger.error(
            "recurring task %r of %s is left out: %s",
            task.name,
            path,
            error,
            exc_info=not isinstance(error, BackgroundError),
        )
