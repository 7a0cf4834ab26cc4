"""The life of a task in the in-process scheduler, from the commit to its end.

Which state follows which is decided here, and what comes of it: threads, events,
tasks that were waiting for this one. The base of ``scheduler.py``, which has the
calls of the contract and the attributes that are used here.
"""

from AccessControl.SecurityManagement import noSecurityManager
from collections import OrderedDict
from collective.background.exceptions import TaskFailed
from collective.background.exceptions import TaskLost
from collective.background.executing.queues import Job
from collective.background.model import states
from collective.background.running import outcome
from collective.background.running.current import keep_log_lines
from collective.background.running.runner import run
from collective.background.scheduling import rules
from collective.background.scheduling.execution import Execution
from collective.background.telling.events import announce
from collective.background.telling.events import announce_scheduled
from collective.background.telling.events import note_transition
from dataclasses import replace
from datetime import datetime
from datetime import UTC
from functools import partial
from threading import main_thread
from time import monotonic

import logging


logger = logging.getLogger(__name__)


class Lifecycle:
    """What happens to a task once its transaction is committed."""

    def _committed(self, task, record):
        """Hand a task over, of which ``record`` is that of the scheduling."""
        self._make_known(task)
        if task.state == states.QUEUED:
            note_transition(record)
            self._hand_over(task)

    def _committed_ended(self, task, callbacks):
        self._make_known(task)
        self._settle(task, task.record(self.instance), callbacks)

    def _make_known(self, task):
        with self._changed:
            task.committed = True
            if task.id in self._schedules:
                self._index.add(task)

    def _hand_over(self, task):
        """The task may start: when its time has come, those before it have
        succeeded, and a slot of its queue is free."""
        with self._changed:
            if task.state != states.QUEUED:  # it was cancelled meanwhile
                return
            self._unfinished[task.id] = task
            stopping = self._stopping
            if not stopping:
                self._waiting.add(task.id)
                missing, hindrance = self._look_at_predecessors(task)
                if missing:
                    self._dependencies.add(task, missing)
        if stopping:
            self._lose([task])
        elif hindrance is not None:
            self._finish(task, outcome.cancelled(hindrance))
        elif not missing:
            self._start(task)

    def _start(self, task):
        """Let the dispatcher start a task, unless that has ended meanwhile."""
        with self._changed:
            if self._is_waiting(task):
                job = self._jobs[task.id] = Job(
                    id=task.id,
                    queue=task.options.queue,
                    priority=task.options.priority,
                    source=self,
                    run=partial(self._run, task),
                    refused=partial(self._refused, task),
                )
                self._dispatcher.push(job, task.not_before)
        self._dispatcher.wake_up()

    def _withdraw(self, task):
        """The dispatcher is not to start a task any more, if it has it."""
        job = self._jobs.pop(task.id, None)
        if job is not None:
            self._dispatcher.discard(job)

    def _is_waiting(self, task):
        """Whether the task has not ended, and is in no thread."""
        # In its thread it is "retrying", too, between attempts that conflict.
        is_waiting = task.state in states.WAITING
        return is_waiting and task.id not in self._running

    def _look_at_predecessors(self, task):
        """Return the ids to wait for, and the exception if one is in vain."""
        if task.attempts:  # they had succeeded, and may be forgotten by now
            return [], None
        missing = []
        for id in task.options.after:
            before = self._schedules.get(id)
            # What another transaction has not committed may never be.
            if before is None or not before.committed:
                return [], rules.predecessor_unknown(id)
            if before.state in states.UNFINISHED:
                missing.append(id)
            elif before.state != states.SUCCEEDED:
                return [], rules.in_vain(before)
        return missing, None

    def _follow(self, record):
        """A task has ended: see to those that were to start after it.

        Returns those that cannot start any more: their tasks and records.
        """
        if record.state == states.SUCCEEDED:
            with self._changed:
                free = self._dependencies.succeeded(record.id)
            for successor in free:
                self._start(successor)
            return []
        ended = outcome.cancelled(rules.in_vain(record))
        with self._changed:
            stuck = self._dependencies.waiting_for(record.id)
            return [(successor, self._end(successor, ended)) for successor in stuck]

    # In the thread of the task.

    def _run(self, task):
        """The whole life of a task; called by the dispatcher in a new thread."""
        try:
            if self._begin(task):
                self._execute(task)
        finally:
            noSecurityManager()

    def _begin(self, task):
        """Note that the task runs; False if it was cancelled meanwhile."""
        with self._changed:
            if not self._is_waiting(task):
                return False
            self._jobs.pop(task.id, None)
            self._waiting.discard(task.id)
            self._running.add(task.id)
            task.started = task.started or datetime.now(UTC)
            self._set_state(task, states.RUNNING)
            return True

    def _execute(self, task):
        keep_log_lines()
        try:
            announce(task.record(self.instance))
            ended = run(Execution(self, task))
            if ended.state == states.SUCCEEDED:
                task.keep_arguments()  # all others keep the call itself
        except BaseException as error:  # SystemExit and the like, of a subscriber
            ended = outcome.failed(error)
        self._leave(task, ended)

    def _leave(self, task, ended):
        """Finish, and let those go on who wait until that has been told, too."""
        with self._changed:
            self._telling += 1
        try:
            self._finish(task, ended)
        finally:
            with self._changed:
                self._telling -= 1
                self._changed.notify_all()

    def _refused(self, task, error):
        """There is no thread for the task; called by the dispatcher."""
        if not main_thread().is_alive():
            return  # the process ends, and the task is lost: see leave()
        if self._begin(task):
            failure = TaskFailed(f"no thread could be started for the task: {error}")
            self._leave(task, outcome.failed(failure))

    # States.

    def _set_state(self, task, state):
        states.check_transition(task.id, task.state, state)
        is_known = self._index.discard(task)
        task.state = state
        if is_known:
            self._index.add(task)
        group = task.group and self._groups.get(task.group.id)
        if group:
            group.note(task)
        if state == states.RUNNING:
            task.attempts += 1
        elif state in states.FINISHED:
            self._changed.notify_all()

    def wait_before_retry(self, task, delay):
        """Let a task wait between two attempts; called by its Execution."""
        with self._changed:
            if task.state != states.RUNNING:  # it was given up meanwhile
                return
            self._set_state(task, states.RETRYING)
            record = task.record(self.instance)
        announce(record)
        with self._changed:
            self._changed.wait_for(lambda: task.cancel_requested, delay)
            # Not when it is about to stop, or was given up meanwhile.
            if task.state != states.RETRYING or task.cancel_requested:
                return
            self._set_state(task, states.RUNNING)
            record = task.record(self.instance)
        announce(record)

    def _finish(self, task, ended):
        """Note how a run has ended, unless the task was given up meanwhile."""
        with self._changed:
            self._running.discard(task.id)
            if task.state in states.FINISHED:
                logger.warning(
                    "task %s %r has ended (%s), but is recorded as %s",
                    task.id,
                    task.plain_title,
                    ended.state,
                    task.state,
                )
                return
            if (
                ended.retry_in is not None
                and not task.cancel_requested
                and not self._stopping
            ):
                record = self._put_off(task, ended)
                callbacks = ()
            else:
                callbacks = self._callbacks_of(task, ended.state)
                record = self._end(task, ended)
        if record.state == states.RETRYING:
            try:
                announce(record)
            finally:
                self._start(task)
        else:
            self._settle(task, record, callbacks)

    def _put_off(self, task, ended):
        """Let a failed task wait for another attempt, in no slot."""
        if ended.outage:
            task.outages += 1
        else:
            task.failures += 1
            task.outages = 0
        task.error = ended.error
        task.not_before = monotonic() + ended.retry_in
        self._waiting.add(task.id)
        self._set_state(task, states.RETRYING)
        return task.record(self.instance)

    def _settle(self, task, record, callbacks=()):
        """What comes after the end of a task."""
        ended = [(task, record)]
        # No recursion: many may wait for each other in a chain.
        for task, record in ended:
            try:
                announce(record)
            finally:  # whatever a subscriber raises, even SystemExit
                if not self._stopping:
                    ended += self._follow(record)
                for callback in callbacks:
                    self._call_back(callback, record)
                callbacks = ()
                if task.group is not None:
                    self._settle_group(task)

    def _settle_group(self, task):
        with self._changed:
            state = self._groups.get(task.group.id)
            if state is None or not state.tell():
                return
            record = state.record(self.instance)
            calls = task.group.callbacks.get(record.state, ())
            callbacks = [self._make_callback(call, state, task) for call in calls]
        for callback in callbacks:
            self._call_back(callback, record)

    def _callbacks_of(self, task, state):
        """Return the tasks to run when ``task`` has ended with ``state``."""
        calls = task.callbacks.get(state, ())
        return [self._make_callback(call, task, task) for call in calls]

    def _make_callback(self, call, origin, task):
        """Return the task of ``on_success``, ``on_failure`` or ``notify``.

        ``origin``: has the snapshot and the database to use; ``task``: the one
        that has ended. Nobody could be refused, so it takes no account of the
        waiting room.
        """
        return rules.make_callback(
            call, task.plain_title, origin.snapshot, origin.database, task
        )

    def _call_back(self, callback, record):
        callback.call = replace(callback.call, extra=(record,))
        scheduled = callback.record(self.instance)
        announce_scheduled(scheduled)
        self._keep(callback)
        self._committed(callback, scheduled)

    def _end(self, task, ended):
        """Note the end of a task, and return its record of this moment."""
        self._withdraw(task)
        self._waiting.discard(task.id)
        self._running.discard(task.id)
        self._unfinished.pop(task.id, None)
        self._dependencies.discard(task)
        if task.unique_key is not None:
            self._unique.leave(task.unique_key, task)
        task.result, task.exception = ended.result, ended.exception
        task.error = ended.error
        task.finished = datetime.now(UTC)
        self._set_state(task, ended.state)
        if ended.state == states.SUCCEEDED:
            task.release()
        record = task.record(self.instance)
        if task.id in self._schedules:
            now = monotonic()
            self._completed[task.id] = now
            self._ended.setdefault(task.keep, OrderedDict())[task.id] = now
            self._evict()
        if task.forget:
            self._forget(task)
        return record

    def _forget(self, task):
        with self._changed:
            self._schedules.pop(task.id, None)
            self._no_longer_ended(task)
            self._index.discard(task)
            self._waiting.discard(task.id)
            if task.group is not None and task.group.id in self._groups:
                self._groups[task.group.id].leave(task)
                if not self._groups[task.group.id].present:
                    del self._groups[task.group.id]
            if task.unique_key is not None:
                self._unique.leave(task.unique_key, task)
        task.close()

    def _no_longer_ended(self, task):
        self._completed.pop(task.id, None)
        self._ended.get(task.keep, {}).pop(task.id, None)

    def _evict(self):
        """Forget finished tasks that are too old or too many."""
        now = monotonic()
        # Of those that are kept equally long, the first ones have ended first.
        for keep, ended in self._ended.items():
            while ended and next(iter(ended.values())) <= now - keep:
                self._forget(self._schedules[next(iter(ended))])
        while len(self._completed) > self.settings.keep_count:
            self._forget(self._schedules[next(iter(self._completed))])

    def _lose(self, tasks):
        reason = TaskLost("the process has ended before the task had")
        for task in tasks:
            self._finish(task, outcome.failed(reason, state=states.LOST))
