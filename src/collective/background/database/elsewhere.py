"""Tasks that workers elsewhere have, which are no Plone: sent, reported on, and lost.

::

    thread of an instance: External ─► commit ─► message ─► its end: ``see_to_sent``
    report over HTTP: ``report`` ─► External, Report ─► … ─► the end, settled
    look of one instance: ``see_to_elsewhere``: what was silent for too long is lost

From the first report on a task is *running*, whether that look was there before or not.
All functions work in the transaction of the caller.
"""

from collective.background.database.claims import hold
from collective.background.database.handed_over import hand_over
from collective.background.database.handed_over import handed_over
from collective.background.database.instances import BEATS
from collective.background.database.instances import Silences
from collective.background.database.reports import Report
from collective.background.database.settling import cancel_waiting
from collective.background.database.settling import settle
from collective.background.exceptions import BadReport
from collective.background.exceptions import ExternalFailed
from collective.background.exceptions import NotPortable
from collective.background.exceptions import TaskCancelled
from collective.background.exceptions import TooManyReports
from collective.background.exceptions import WorkerSilent
from collective.background.model import states
from collective.background.model.config import CELERY
from collective.background.model.external import ReportedError
from collective.background.model.records import ErrorInfo
from collective.background.running import outcome
from collective.background.scheduling import rules
from dataclasses import replace
from time import monotonic


LONGEST_PAUSE = 10.0  # seconds between two looks at what is elsewhere
AT_ONCE = 50  # tasks that are lost in one transaction


class Listening:
    """Who of the workers elsewhere is silent, as the instance that listens has seen it.

    ``silence``: the setting (seconds).
    """

    def __init__(self, silence):
        self._pause = min(silence / BEATS, LONGEST_PAUSE)
        self._silences = Silences.looked_for(silence, self._pause)
        self.look_at = 0.0  # of the monotonic clock

    def silent(self, tasks):
        """Return {id: seconds} of the StoredTasks that were silent for so long."""
        self.look_at = monotonic() + self._pause
        return self._silences.dead(
            {task.id: task.external for task in tasks if task.has_begun_elsewhere}
        )


def see_to_elsewhere(look):
    """Let be lost what was silent for too long, or has waited there for too long.

    One instance of all does it. What it costs grows with the number of tasks that are
    elsewhere.
    """
    feeder = look.feeder
    if not _listens(look):
        return
    if monotonic() >= feeder.listening.look_at:
        tasks = list(handed_over(look.scheduler))
        if not tasks:
            return  # nobody is to be woken up for nothing
        silent = feeder.listening.silent(tasks)
        lost = [
            task
            for task in tasks
            if task.id in silent or look.now > task.external.expires
        ]
        for task in lost[:AT_ONCE]:
            _lose(look, task, silent.get(task.id))
        if len(lost) > AT_ONCE:
            feeder.listening.look_at = 0.0
            look.has_more = True
            return
    look.again_at(feeder.listening.look_at)


def _listens(look):
    """Whether this instance is the one: one that lives for long, if there is any.

    Workers of Celery may be replaced by others all the time, each of which would have
    to listen from the beginning.
    """
    found = look.instances.items()
    lasting = [id for id, instance in found if instance.role != CELERY]
    return look.me == min(lasting or look.instances, default=look.me)


def _lose(look, task, silence):
    """``silence``: for how many seconds its worker was silent; None: it is too late."""
    external = task.external
    hold(external)  # if it is heard of at this very moment, it is not lost
    if look.scheduler.shards.requested(task.id) is not None:
        cancel_waiting(look.scheduler, task, look.news)
        return
    reason = "no worker has begun it for too long, so nobody may any more"
    if silence is not None:
        reason = f"its worker was silent for {silence:g} seconds"
    elif external.began is not None:
        reason = "its worker took longer than any may"
    look.scheduler.shards.leave(task)
    task.end(outcome.failed(WorkerSilent(reason), state=states.LOST))
    settle(look.scheduler, task, look.news)


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
    is_first = external.began is None
    is_new = external.hear(told)
    if is_new and told.tells:
        _note(task, told)
    if is_first:
        news.reached.append(scheduler.record_of(task))
    if told.is_last:
        scheduler.shards.leave(task)
        task.end(_outcome(told))
        settle(scheduler, task, news)
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
