"""The events that tell what happens to tasks, and how they are sent."""

from collective.background.environment.sites import system_environment
from collective.background.exceptions import SiteGone
from collective.background.interfaces import ITaskCancelled
from collective.background.interfaces import ITaskFailed
from collective.background.interfaces import ITaskLost
from collective.background.interfaces import ITaskRequeued
from collective.background.interfaces import ITaskRetrying
from collective.background.interfaces import ITaskScheduled
from collective.background.interfaces import ITaskStarted
from collective.background.interfaces import ITaskSucceeded
from collective.background.model import states
from collective.background.running.outcome import describe_error
from collective.background.running.tracing import log_failure
from collective.background.telling.history import note_in_history
from collective.background.telling.logs import log_transition
from collective.background.telling.metrics import count_transition
from collective.background.zopecompat import own_transaction_manager
from collective.background.zopecompat import zope_database
from contextlib import ExitStack
from contextlib import suppress
from zope.component import getGlobalSiteManager
from zope.component.hooks import getSite
from zope.event import notify
from zope.interface import implementer
from zope.interface import providedBy

import logging
import transaction


logger = logging.getLogger(__name__)


class TaskEvent:
    """The common base; ``record`` is the task's record as it was then."""

    def __init__(self, record):
        self.record = record


@implementer(ITaskScheduled)
class TaskScheduled(TaskEvent):
    pass


@implementer(ITaskStarted)
class TaskStarted(TaskEvent):
    pass


@implementer(ITaskRetrying)
class TaskRetrying(TaskEvent):
    pass


@implementer(ITaskRequeued)
class TaskRequeued(TaskEvent):
    pass


@implementer(ITaskSucceeded)
class TaskSucceeded(TaskEvent):
    pass


@implementer(ITaskFailed)
class TaskFailed(TaskEvent):
    pass


@implementer(ITaskCancelled)
class TaskCancelled(TaskEvent):
    pass


@implementer(ITaskLost)
class TaskLost(TaskEvent):
    pass


# Sent when a task reaches the state; TaskScheduled is for the first time only.
EVENTS = {
    states.QUEUED: TaskRequeued,
    states.RUNNING: TaskStarted,
    states.RETRYING: TaskRetrying,
    states.SUCCEEDED: TaskSucceeded,
    states.FAILED: TaskFailed,
    states.CANCELLED: TaskCancelled,
    states.LOST: TaskLost,
}


def announce(record):
    """Tell that a task has reached the state of its record: log, count, notify.

    Nothing that a subscriber raises may change the outcome of a task.
    """
    note_transition(record)
    _send(EVENTS[record.state](record))


def announce_scheduled(record):
    """Tell of a task that was not scheduled by anybody's transaction."""
    _send(TaskScheduled(record))


def note_transition(record):
    """Count and log that a task has reached the state of its record.

    The log comes last: who has read its line finds the rest done. Who fails here
    (the metrics may be another's) is logged.
    """
    # Not by subscribers: a broken one of an add-on would keep others from
    # being called.
    for note in (count_transition, note_in_history, log_transition):
        try:
            note(record)
        except Exception as error:
            _log(error, "%s() failed for task %s", note.__name__, record.id)


def _send(event):
    try:
        _notify(event)
    except Exception as error:
        _log(error, "a subscriber failed at %s", type(event).__name__)


def _log(error, text, *values):
    log_failure(logger, logging.ERROR, text, values, error, describe_error(error))


def _notify(event):
    """Call the subscribers, in the site of the task, as Zope's own user.

    So they find the scheduler, and the result. They have a transaction of their own,
    which is committed. Where there is a site already, they are part of what is done.
    """
    database, path = zope_database(), event.record.site_path
    is_told = database is not None and path is not None and _is_subscribed(event)
    if not is_told or getSite() is not None:
        notify(event)
        return
    with own_transaction_manager(), ExitStack() as stack:
        # Of a site that is gone they hear as well.
        with suppress(SiteGone):
            stack.enter_context(system_environment(database, path))
        notify(event)
        transaction.commit()


def _is_subscribed(event):
    """Whether there is a point in it: an environment costs more than an event."""
    adapters = getGlobalSiteManager().adapters
    return bool(adapters.subscriptions((providedBy(event),), None))
