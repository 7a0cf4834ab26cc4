"""An execution: a task as its own thread sees it, while it runs.

Made by the scheduler for every run; used by ``running/``.
"""

from collections import deque
from collective.background.exceptions import Superseded
from collective.background.exceptions import TaskCancelled
from collective.background.exceptions import TaskTimedOut
from collective.background.exceptions import TooLate
from collective.background.model import states
from collective.background.model.conflicts import after_success
from collective.background.model.trail import note_attempt
from collective.background.model.trail import was_tried_again
from collective.background.running.pace import Pace
from collective.background.running.politeness import Manners
from collective.background.scheduling.task import LOG_LINES
from dataclasses import replace
from datetime import datetime
from datetime import UTC
from math import inf
from time import monotonic

import logging


logger = logging.getLogger(__name__)

MAX_MESSAGES = 100


class Execution:
    """``cursor``, ``batch_failures`` and ``progress`` may be set.

    They belong to the running thread; others only read them.
    """

    def __init__(self, scheduler, task):
        self._scheduler = scheduler
        self._task = task
        self.id = task.id
        self.call = task.call
        self.snapshot = task.snapshot
        self.database = task.database
        self.options = task.options
        self.failures = task.failures
        self.conflict_attempts = scheduler.settings.conflict_attempts
        self._manners = Manners(scheduler.settings.polite_wait)
        self._began = monotonic()
        self._longest = min(task.options.timeout, task.options.hard_timeout)
        self._measure_anew()

    @property
    def title(self):
        return self._task.plain_title

    @title.setter
    def title(self, value):
        self._task.options = replace(self._task.options, title=value)

    @property
    def progress(self):
        return self._task.progress

    @progress.setter
    def progress(self, value):
        self._task.progress = value

    def seconds_left(self, done, total):
        """Return how long the rest will take, an int, or None; see ``Pace``.

        Called for each report, and before it.
        """
        return self._pace.seconds_left(done, total)

    def _measure_anew(self):
        """What other attempts took says nothing of this one."""
        self._pace = Pace()
        before = self.progress
        left = self.seconds_left(before.done, before.total)
        self.progress = replace(before, seconds_left=left)

    @property
    def cursor(self):
        return self._task.cursor

    @cursor.setter
    def cursor(self, value):
        self._task.cursor = value

    @property
    def batch_failures(self):
        return self._task.batch_failures

    @batch_failures.setter
    def batch_failures(self, value):
        self._task.batch_failures = value

    @property
    def outages(self):
        return self._task.outages

    @property
    def conflicts(self):
        return self._task.conflicts

    @property
    def cancel_requested(self):
        return self._task.cancel_requested

    def check_cancelled(self):
        """A cancellation point: the task gives way to visitors.

        Raises TaskCancelled if somebody has asked the task to stop, Superseded if
        another instance has taken it over, TaskTimedOut if it has run for longer than
        it may.
        """
        if not (self.cancel_requested or self._task.superseded):
            self._manners.give_way()
        if self._task.superseded:
            raise Superseded("another instance has it, as this one was silent")
        if self.cancel_requested:
            raise TaskCancelled("the task was cancelled while it was running")
        if monotonic() - self._began > self._longest:
            raise TaskTimedOut(
                f"the task has run for longer than {self._longest} seconds"
            )

    def tell_if_late(self):
        """Let its log say if it has run for longer than its ``hard_timeout``."""
        ran, longest = monotonic() - self._began, self.options.hard_timeout
        if ran > longest:
            logger.warning(
                "task %s has run for %.1f s, and its hard_timeout is %s s: a thread "
                "can stop at a cancellation point only",
                *(self.id, ran, longest),
            )

    def check_begin(self):
        """Raise TooLate if it begins for the first time, and later than it may."""
        left, within = self.time_to_begin(), self.options.begin_by
        if left < 0:
            raise TooLate(
                f"it was to begin within {within} seconds, and its turn came after "
                f"{within - left:.0f}"
            )

    def time_to_begin(self):
        """Return for how many seconds it may still begin; infinity: it always may."""
        task = self._task
        if task.attempts > 1 or was_tried_again(task):
            return inf
        waited = (datetime.now(UTC) - task.created).total_seconds()
        return self.options.begin_by - waited

    def check_between(self):
        """A cancellation point between two transactions of a batch.

        Raises as ``check_cancelled``; also TaskCancelled if the process is about to
        stop, so that another one goes on from here.
        """
        self.check_cancelled()
        if self._task.is_stopping:
            raise TaskCancelled("the process is about to stop")

    # Of a task that lives in memory nothing is to be written.

    def begin_attempt(self, env):
        """Called in the transaction of each attempt (of a batch: of each chunk), before
        its first line; the database tier checks there that the task is still this
        instance's, and raises Superseded. ``env``: the Environment.
        """

    def save_success(self, env, package):
        """Called in the transaction of the work, before it commits.

        ``env``: its Environment; ``package``: of the result.
        """

    def save_token(self, env, digest):
        """The same for what is sent to a worker elsewhere once that is committed.

        ``digest``: that of the token with which the worker will report.
        """

    def save_cursor(self, env, end, new_failures):
        """As above, for each transaction of a batch.

        ``end``: the cursor after it; ``new_failures``: its BatchFailures, which come
        after ``batch_failures``.
        """

    def committed(self):
        """Called once the transaction of an attempt is committed."""

    def was_committed(self):
        """Called when the connection was lost while the work was committed.

        Returns whether the work is committed, None if nobody knows. Where it is not,
        the attempt may be repeated. May raise what the storage raises: then the task
        is tried again, in a transaction that finds out.
        """
        return None

    def repeat(self, error):
        """The attempt has conflicted, and another one begins in the same run.

        ``error``: the ErrorInfo of the conflict.
        """
        task, now = self._task, datetime.now(UTC)
        note_attempt(
            task,
            states.RETRYING,
            error,
            number=task.attempts,
            started=task.began,
            finished=now,
            instance=self._scheduler.executor.instance,
        )
        task.began = now
        task.attempts += 1
        self._measure_anew()

    def got_through(self):
        """A transaction of a batch is committed: the next one begins anew."""
        self._task.outages = 0
        self._task.conflicts = after_success(self._task.conflicts)

    def add_messages(self, messages):
        """Keep TaskMessages, the newest ones if there are too many."""
        kept = (*self._task.messages, *messages)
        self._task.messages = kept[-MAX_MESSAGES:]

    def add_log_line(self, line):
        if not self._task.log:
            self._task.log = deque(maxlen=LOG_LINES)
        self._task.log.append(line)
        self._task.lines += 1
