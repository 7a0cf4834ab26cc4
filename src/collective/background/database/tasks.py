"""A task as the database has it: objects by who writes them, and when.

- StoredTask: what lists and instances look at. Written when it is scheduled, by the
  instance that reserves it, and by the one that settles its end
- Status: what the work itself writes, in its own transaction, and whoever takes the
  task away from it. So that transaction conflicts with nobody else, and can be undone
- Body (``body.py``): the call, with all that was taken along from the request. It does
  not change, and goes once the task has succeeded
- Report (``reports.py``): what a running task tells. Written by its instance
- Ending, Failures: what a run has left

The states of a StoredTask are those of the contract, but that it stays ``queued``, or
``retrying``, from its reservation until its end is settled; whoever asks meanwhile
looks at its Status as well, see ``record``."""

from collections import deque
from collective.background.capture.call import BATCH
from collective.background.capture.call import CALL
from collective.background.capture.call import EXTERNAL
from collective.background.capture.describing import describe_arguments
from collective.background.database.body import Body
from collective.background.database.status import Ending
from collective.background.database.status import Status
from collective.background.database.status import VERSION
from collective.background.database.trail import load_attempt
from collective.background.database.trail import load_intervention
from collective.background.database.trail import note_end_of_attempt
from collective.background.database.trail import store_attempt
from collective.background.database.trail import store_intervention
from collective.background.database.trail import stored_tuple
from collective.background.database.values import load_error
from collective.background.database.values import load_text
from collective.background.database.values import store_error
from collective.background.database.values import store_text
from collective.background.model import states
from collective.background.model.conflicts import locks_of
from collective.background.model.conflicts import ONCE
from collective.background.model.records import Progress
from collective.background.model.records import TaskRecord
from collective.background.scheduling.endings import standing_of
from collective.background.scheduling.setbacks import count_setback
from collective.background.scheduling.task import LOG_LINES
from collective.background.scheduling.task import Task
from dataclasses import replace
from datetime import datetime
from datetime import UTC
from math import inf
from persistent import Persistent


# What a StoredTask has as a TaskRecord has it.
_PLAIN = (
    *("id", "state", "kind", "callable", "queue", "priority"),
    *("user_id", "user_path", "site_path", "context_path", "context_uid"),
    *("created", "started", "finished", "attempts", "has_result"),
    *("instance", "group_id", "eta", "dismissed"),
)


ELSEWHERE = "elsewhere"  # instead of an instance: a worker that is none has it


class StoredTask(Persistent):
    """Made of a Task of ``scheduling/task.py``, when that is scheduled.

    It has the attributes of a TaskRecord. And:

    - ``number``: orders tasks by age (microseconds since 1970, and something random)
    - ``home``: the oid of the scheduler; what was copied along with a site has
      another one there
    - ``fence``: the number of the reservation; who has an older one has lost the task.
      ``instance``: whose it is; "" while it is nobody's
    - ``is_sent``: whether it was reserved for a worker of Celery, which then runs it;
      ``Status.worker`` says which one
    - ``deaths``: how many instances have died with it after it had begun for certain,
      ``is_marked``: whether one has died that may have begun it
    - ``failures``, ``outages``, ``conflicts``: as of a Task; ``size``: how many items a
      batch has
    - ``keep``, ``hard_timeout`` (seconds), ``unique``, ``rerun``: its options;
      ``after``: ids of those that have still to succeed before
    - ``callback_states``: at which somebody is told
    - ``body``: None once it has succeeded and that is settled; ``status``; ``report``
      and ``ending``: or None
    """

    fence = deaths = failures = outages = conflicts = 0
    is_marked = is_sent = False
    _locks = _timeline = _interventions = ()
    hard_timeout = inf
    report = ending = _error = None

    timeline = stored_tuple("_timeline", load_attempt, store_attempt)
    interventions = stored_tuple(
        "_interventions", load_intervention, store_intervention
    )

    def __init__(self, task, id, number, home, blobs=None):
        self.version = VERSION
        record = task.record("")
        for name in _PLAIN:
            setattr(self, name, getattr(record, name))
        self.id = id
        self.number = number
        self.home = home
        self._title = store_text(record.title)
        self.size = len(task.call.items)
        self.keep = task.keep
        self.hard_timeout = task.options.hard_timeout
        self.unique = task.options.unique
        self._locks = task.options.lock
        self.after = ()
        self.rerun = task.options.rerun
        self.callback_states = tuple(task.callbacks)
        self.body = Body(task, blobs)
        self.status = Status()

    @property
    def title(self):
        return load_text(self._title)

    @property
    def locks(self):
        """Texts, of each of which one task of the site runs at a time, a tuple."""
        return (*self._locks, *locks_of(self.callable, self.conflicts))

    @property
    def error(self):
        return load_error(self._error)

    @property
    def standing(self):
        """Its ending, see ``endings``, or its state until then."""
        return standing_of(self)

    @property
    def is_reserved(self):
        """Whether an instance has it, and has not settled how it has ended."""
        return bool(self.instance) and self.state in states.WAITING

    @property
    def begins_with_commit(self):
        """Whether its begin is written down before its first line.

        Else it is not known whether it has begun, which is as well if it may run again;
        but not if an instance has died of it.
        """
        if self.kind == EXTERNAL:
            return False  # sent twice, one of the two may not report
        return not self.rerun or self.is_marked

    @property
    def is_done(self):
        """Whether its work is committed, though that may not be settled yet."""
        return self.state == states.SUCCEEDED or (
            self.is_reserved and self.status.done == self.fence
        )

    @property
    def has_begun(self):
        """Whether the present reservation has begun, as far as is written down."""
        if self.kind == EXTERNAL:
            return self.has_begun_elsewhere
        return self.is_reserved and self.status.begun == self.fence

    @property
    def is_claimed(self):
        """Whether it has begun, or is done, as far as is written down."""
        return self.has_begun or self.is_done

    @property
    def external(self):
        """Of what a worker elsewhere has or had, an External; else None."""
        return self.status.external if self.kind == EXTERNAL else None

    @property
    def has_token(self):
        """Whether the present reservation has, or had, a token for a worker."""
        external = self.external
        is_open = external is not None and external.fence == self.fence
        return is_open and self.is_reserved

    @property
    def is_elsewhere(self):
        """Whether it was handed over to a worker elsewhere, so no instance has it."""
        return self.is_reserved and self.instance == ELSEWHERE

    @property
    def has_begun_elsewhere(self):
        """Whether a worker elsewhere has begun it."""
        return self.has_token and self.external.began is not None

    @property
    def attempt(self):
        """The number of the attempt that the present reservation makes, from 1."""
        return max(self.attempts, self.status.attempts) + (not self.has_begun)

    @property
    def is_undone(self):
        """Whether it has succeeded, but what it did was undone in the database since.

        Or a part of it, of a batch.
        """
        if self.state != states.SUCCEEDED or self.kind == EXTERNAL:
            return False
        if self.status.done == self.fence:
            return False
        return self.kind != BATCH or self.status.cursor < self.size

    @property
    def result(self):
        """What the task has returned, if its work was not undone: an Ending or None."""
        return None if self.is_undone else self.ending or self.status.result

    def record(self, report=None, *, began=None, cancel_requested=False, by=None):
        """Return the TaskRecord of this moment.

        ``report``: what its instance tells of it, a Report, or None. ``began``: since
        when it runs, as that says, or None; ``cancel_requested``: whether it was asked
        to stop, ``by``: the Intervention of who has asked, or None.
        """
        is_running = began is not None
        report = report or self.report
        values = {name: getattr(self, name) for name in _PLAIN}
        if self.is_done and self.state != states.SUCCEEDED:
            values |= {
                "state": states.SUCCEEDED,
                "started": self.started or self.status.began,
                "finished": self.status.finished,
                "attempts": self.status.attempts,
                "has_result": True,
                "instance": self._runs_at,
            }
        elif is_running or self.has_begun:
            external = self.external
            began = self.status.began if external is None else external.began
            values |= {
                "state": states.RUNNING,
                "started": self.started or began or self.created,
                "attempts": max(self.attempts + 1, self.status.attempts),
                "eta": None,
                "began": began or self.status.began,
                "instance": self._runs_at,
            }
        elif self.state in states.WAITING:
            values["instance"] = ""
        if self.is_elsewhere and self.external.worker:
            values["instance"] = self.external.worker
        if self.kind != CALL and self.state == states.SUCCEEDED:
            # Unless its work was undone, and its result with it.
            values["has_result"] = self.result is not None
        told = {} if report is None else report.values()
        title = told.pop("title", None) or self.title
        progress = told.pop("progress", None) or Progress()
        if self.size and not is_running:
            status = self.status
            progress = replace(
                progress, done=status.cursor, total=self.size, failed=status.failed
            )
        return TaskRecord(
            **values,
            **told,
            title=title,
            progress=progress,
            error=self.error,
            cancel_requested=cancel_requested,
            after=tuple(self.after),
            is_spent=self.body is None,
            timeline=self.timeline,
            interventions=self.interventions + (() if by is None else (by,)),
        )

    @property
    def _runs_at(self):
        """The id of the instance at which the present reservation has begun.

        That has said so, or it is the one that has the reservation.
        """
        has_said = self.fence in (self.status.begun, self.status.done)
        return (has_said and self.status.worker) or self.instance

    @property
    def arguments(self):
        """What its call is called with, as (name, text) of each argument."""
        if self.body is None:
            return self.status.arguments
        described = describe_arguments(self.body.call)
        self.body._p_deactivate()
        return described

    def make_task(self, database):
        """Return a Task for the thread in which it runs. ``database``: to open there.

        Raises whatever the loading of classes raises.
        """
        body, status = self.body, self.status
        told = {} if self.report is None else self.report.values()
        title = told.get("title") or self.title
        options = replace(body.options, title=title)
        task = Task(body.call, body.snapshot, database, options, self.keep)
        task.id = self.id
        task.created, task.started = self.created, self.started
        task.attempts = max(self.attempts, status.attempts)
        task.failures, task.outages = self.failures, self.outages
        task.conflicts = self.conflicts
        task.timeline, task.interventions = self.timeline, self.interventions
        task.cursor = status.cursor
        task.batch_failures = status.batch_failures() if self.size else ()
        if self.report is not None:
            task.progress, task.messages = told["progress"], told["messages"]
            task.log = deque(told["log"], LOG_LINES)
            task.lines = self.report.read
        body._p_deactivate()  # it may be large, and is not looked at any more
        return task

    # Transitions. Whoever makes them tells the index, see shards.py.

    def _become(self, state):
        states.check_transition(self.id, self.state, state)
        self.state = state

    def reserve(self, instance, *, is_sent=False):
        """An instance is to run it; return the number of the reservation.

        ``is_sent``: or a worker of Celery to which that instance sends it.
        """
        self.instance = instance
        self.fence += 1
        self.is_sent = is_sent
        return self.fence

    def hand_over(self, instance):
        """Another instance has this reservation from now on, as it runs the task."""
        self.instance = instance
        self.is_sent = False

    def go_elsewhere(self):
        """A worker elsewhere has it now, or will; and perhaps it has begun it."""
        self.hand_over(ELSEWHERE)
        self.eta = None
        if self.has_begun_elsewhere:
            self.started = self.external.began

    def begin(self, worker):
        """Its present reservation begins; see ``begins_with_commit``.

        ``worker``: the id of the instance at which it does.
        """
        self.status.begin(self.fence, self.attempt, worker)

    def _revoke(self, task=None):
        """Nobody else may begin or end with the present reservation any more.

        ``task``: the Task that has run with it, if that is known.
        """
        is_the_only_one = (
            task is not None
            and self.has_begun
            and (self.is_sent or self.status.worker == self.instance)
        )
        if self.is_reserved and not (self.is_done or is_the_only_one):
            self.status.revoke(self.fence)

    def take_turns(self):
        """Those of its kind conflict: it is to have their lock from the beginning."""
        self.conflicts = ONCE
        self.eta = None  # which has passed: else it would be put off once more

    def release(self, task=None):
        """It is nobody's any more, and waits as before.

        ``task``: the Task, if it ran here, and does not any more.
        """
        self._revoke(task)
        self.fence += 1
        self.instance = ""
        self.is_sent = False

    def break_off(self, state, task=None, began=None):
        """The attempt that runs has ended, and not by itself.

        ``state``: of the Attempt; ``task``: the Task that ran, if it is known;
        ``began``: else when it was begun, or None.
        """
        note_end_of_attempt(self, state, None, task, began)
        self._note(task)

    def end(self, ended, task=None):
        """It has ended. ``ended``: an Outcome; ``task``: the Task that ran, if any."""
        if ended.state != states.SUCCEEDED:
            self._revoke(task)
        began = None
        if self.has_begun_elsewhere:
            self.attempts += 1
            began = self.started = self.external.began
            self.instance = self.external.worker or ELSEWHERE
        self.instance = self._runs_at
        if task is not None or ended.state != states.CANCELLED:
            self.state = states.RUNNING  # which nobody has written down
            note_end_of_attempt(self, ended.state, ended.error, task, began)
        self._become(ended.state)
        self._note(task)
        status = self.status
        if self.fence in (status.begun, status.done):
            self.started = self.started or status.began
            self.attempts = max(self.attempts, status.attempts)
        if ended.state == states.SUCCEEDED:
            self.finished = status.finished or datetime.now(UTC)
            self.has_result, self._error = True, None
            if self.kind in (BATCH, EXTERNAL) and status.done != self.fence:
                # No one of its transactions has the whole result.
                self.ending = Ending(ended.result)
        else:
            self.finished = datetime.now(UTC)
            self.has_result = ended.result is not None
            self._error = store_error(ended.error)
            if self.has_result or ended.exception is not None:
                self.ending = Ending(ended.result, ended.exception)
        self.eta = None
        self.is_marked = False

    def put_off(self, ended, task, eta):
        """It waits for another run. ``eta``: aware, UTC."""
        self._revoke(task)
        self.state = states.RETRYING
        if self.kind != EXTERNAL:  # of which nothing but the sending was in vain
            note_end_of_attempt(self, states.RETRYING, ended.error, task)
        self.instance = ""
        self._note(task)
        count_setback(self, ended)
        self._error = store_error(ended.error)
        self.eta = eta

    def drop_body(self):
        """It will not run again: nothing is kept of what it would need for that."""
        self.body = None

    def requeue(self):
        """It ended without success, and is to be tried again."""
        self._become(states.QUEUED)
        self.started = self.finished = self.eta = self._error = self.ending = None
        self.has_result = self.dismissed = False
        self.failures = self.outages = self.conflicts = self.deaths = 0
        self.instance = ""
        self.fence += 1
        if self.report is not None:
            self.report.forget_messages()
            if not self.size:
                self.report.forget_progress()

    def _note(self, task):
        """Keep what a run has told of itself. ``task``: its Task, or None."""
        if task is None:
            return
        self.started = self.started or task.started
        self.attempts = max(self.attempts, task.attempts)
        self.failures, self.outages = task.failures, task.outages
        self.conflicts = task.conflicts
        self._title = store_text(task.title)
