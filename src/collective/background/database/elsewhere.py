"""Tasks that workers elsewhere have, which are no Plone: sent, and reported on.

::

    thread of an instance: External ─► commit ─► message ─► its end: ``see_to_sent``
    report over HTTP: ``report`` ─► External, Report ─► … ─► the end, settled
    looks of instances: what was silent for too long is lost, see ``listening``

From the first report on a task is *running*, whether that look was there before or not.
All functions work in the transaction of the caller.
"""

from collective.background.database.claims import hold
from collective.background.database.handed_over import hand_over
from collective.background.database.handed_over import note_begin
from collective.background.database.reports import Report
from collective.background.database.settling import cancel_waiting
from collective.background.database.settling import settle
from collective.background.exceptions import BadReport
from collective.background.exceptions import ExternalFailed
from collective.background.exceptions import NotPortable
from collective.background.exceptions import TaskCancelled
from collective.background.exceptions import TooLate
from collective.background.exceptions import TooManyReports
from collective.background.model import states
from collective.background.model.external import ReportedError
from collective.background.model.records import ErrorInfo
from collective.background.running import outcome
from collective.background.scheduling import rules
from dataclasses import replace
from datetime import datetime
from datetime import UTC


def too_late():
    """Return the Outcome of a task that no worker has begun in time."""
    return outcome.failed(TooLate("no worker has begun it in the time of its begin_by"))


def end(scheduler, task, ended, news):
    """A StoredTask that workers elsewhere had has ended. ``ended``: an Outcome."""
    scheduler.shards.leave(task)
    task.end(ended)
    settle(scheduler, task, news)


def see_to_sent(scheduler, task, ended, news):
    """The thread that has sent a StoredTask has ended; see what it becomes.

    ``ended``: the Outcome, or None. Returns False if it is to be treated as any other.
    """
    if task.has_begun_elsewhere:
        hand_over(scheduler, task)
        return True
    if task.has_token:
        hold(task.external)  # or a first report might come at this very moment
    if ended is None or ended.state != states.SUCCEEDED:
        return False
    if scheduler.shards.requested(task.id) is not None:
        cancel_waiting(scheduler, task, news)
    else:
        hand_over(scheduler, task)
    return True


def report(scheduler, id, token, told, news):
    """Note an ExternalReport on a task; return its TaskRecord.

    ``token``: a text, of who reports; ``news``: News, to which is added. What comes
    when the task has ended changes nothing. Raises TaskNotFound, also for a wrong
    token, TooManyReports, BadReport for a result that cannot be kept.
    """
    task = scheduler.shards.find(id)
    external = None if task is None else task.external
    if external is None or not external.is_valid(token):
        raise rules.not_found(id)
    if task.state in states.FINISHED:
        return scheduler.record_of(task)
    if not task.has_token:
        raise rules.not_found(id)  # it is sent anew, with another token
    if external.is_early() and not told.is_last:
        raise TooManyReports(
            "the last report on this task came a moment ago; one in a second is enough"
        )
    hold(task)
    if external.is_over(datetime.now(UTC)) and not told.is_last:
        end(scheduler, task, too_late(), news)
        return scheduler.record_of(task)
    is_first = external.began is None
    is_new = external.hear(told)
    if is_new and told.tells:
        _note(task, told)
    if is_first:
        news.reached.append(scheduler.record_of(task))
    if told.is_last:
        end(scheduler, task, _outcome(told), news)
    else:
        note_begin(scheduler, task)
    return scheduler.record_of(task)


def _note(task, told):
    if task.report is None:
        task.report = Report()
    task.report.add(told)


def _outcome(told):
    if told.state == states.SUCCEEDED:
        try:
            return outcome.succeeded(outcome.pack_result(told.result))
        except NotPortable as error:  # as it is nested too deeply
            raise BadReport(str(error)) from error
    if told.state == states.CANCELLED:
        return outcome.cancelled(
            TaskCancelled("the task was cancelled while it was running")
        )
    error = told.error or ReportedError()
    ended = outcome.failed(ExternalFailed(error.message, error.public))
    info = ErrorInfo(
        type=error.type,
        message=error.message,
        traceback=error.traceback,
        id=ended.error.id,
        public=error.public,
    )
    return replace(ended, error=info)
