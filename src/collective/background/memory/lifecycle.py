"""The life cycle of tasks: which state follows which, from the commit to the end.

That is noted under the scheduler's lock, in the store and among the unfinished. What
comes of it is done under none: events, threads, and what follows the end.
"""

from collective.background.exceptions import TaskLost
from collective.background.executing.executor import Executor
from collective.background.executing.executor import process_executor
from collective.background.executing.serving import is_serving
from collective.background.memory.forgetting import Forgetting
from collective.background.memory.leftovers import leave_word
from collective.background.memory.sequel import callbacks_of
from collective.background.memory.sequel import Sequel
from collective.background.memory.unfinished import Unfinished
from collective.background.model import states
from collective.background.model.trail import note_intervention
from collective.background.running import outcome
from collective.background.scheduling import rules
from collective.background.scheduling.actors import shutdown
from collective.background.scheduling.setbacks import without_another_run
from collective.background.telling.events import announce
from collective.background.telling.events import note_transition
from threading import Condition
from threading import RLock

import logging


logger = logging.getLogger(__name__)


class Lifecycle:
    """The tasks of a scheduler; for the executor, a source of jobs.

    ``store``: the Store that has them; ``settings``: of an executor of its own, or None
    for that of the process; ``make_threads(lifecycle)``: returns the TaskThreads.

    - ``changed``: the Condition of the scheduler's lock. Notified when a task has ended
    - ``unfinished``: the Unfinished tasks; ``threads``: the TaskThreads
    - ``sequel``, ``forgetting``: what follows an end, soon and later
    - ``is_stopping``: whether nothing more is to start
    """

    def __init__(self, store, settings, make_threads):
        self.store = store
        self._own_settings = settings
        self._make_threads = make_threads
        self.sequel = Sequel(self)
        self.forgetting = Forgetting(self)
        self.begin_anew()

    def begin_anew(self):
        """Know of no task: also in the child of a fork, as they are the parent's."""
        self.store.clear()
        self.changed = Condition(RLock())
        self.unfinished = Unfinished(self.store)
        self.threads = self._make_threads(self)
        self.is_stopping = False
        self._stopped = []  # tasks that the end of the process has asked to stop
        self._executor = None
        if self._own_settings is not None:
            self._join(Executor(self._own_settings))

    def _join(self, executor):
        self._executor = executor
        executor.register(self)

    @property
    def executor(self):
        """The Executor that runs the tasks."""
        # Not before somebody asks: the configuration of Zope comes later than
        # the registration of utilities.
        if self._executor is None:
            self._join(process_executor())
        return self._executor

    @property
    def settings(self):
        """The Settings of the process."""
        return self.executor.settings

    def record(self, what):
        """Return the TaskRecord of a Task or of a GroupState."""
        return what.record(self.executor.instance)

    def find_record(self, id):
        """Return the TaskRecord of the task or the group with an id, or None."""
        with self.changed:  # or it would be of two moments
            what = self.find_any(id)
            return None if what is None else self.record(what)

    def find_any(self, id):
        """Return the Task or the GroupState with an id, or None."""
        with self.changed:
            return self.store.find_any(id)

    def find(self, id):
        """Return the Task with an id, or None."""
        with self.changed:
            return self.store.find(id)

    def get(self, id):
        """Return the Task with an id. Raises TaskNotFound."""
        task = self.find(id)
        if task is None:
            raise rules.not_found(id)
        return task

    # The beginning.

    def commit(self, task, record):
        """A task is committed. ``record``: that of its scheduling."""
        with self.changed:
            self.store.commit(task)
        if task.state == states.QUEUED:
            note_transition(record)
            self.hand_over(task)

    def commit_ended(self, task, callbacks):
        """A task is committed that has ended before. ``callbacks``: see ``Sequel``."""
        with self.changed:
            self.store.commit(task)
        self.sequel.follow(task, self.record(task), callbacks)
        self.forgetting.look()

    def hand_over(self, task):
        """Let a task start, if it is queued: when its time has come, those before it
        have succeeded, and a slot of its queue is free.
        """
        with self.changed:
            if task.state != states.QUEUED:  # it was cancelled meanwhile
                return
            self.unfinished.add(task)
            is_stopping = self.is_stopping
            if not is_stopping:
                hindrance = self.unfinished.line_up(task)
                has_to_wait = bool(task.after)
        if is_stopping:
            self._lose([task])
        elif hindrance is not None:
            self.finish(task, outcome.cancelled(hindrance))
        elif not has_to_wait:
            self.threads.start(task)

    # Attempts.

    def finish(self, task, ended):
        """A run has ended: so has the task, or it waits for another attempt.

        ``ended``: the Outcome. It is left aside if the task was given up meanwhile.
        """
        callbacks = ()
        with self.changed:
            self.unfinished.leave_thread(task)
            is_given_up = task.state in states.FINISHED
            if is_given_up:
                record = self.record(task)
            elif self._goes_on(task, ended):
                self.unfinished.put_off(task, ended, self.executor.instance)
                record = self.record(task)
            else:
                ended = without_another_run(ended, task.attempts)
                callbacks = callbacks_of(task, ended)
                record = self.end(task, ended)
        if is_given_up:
            logger.warning(
                "task %s %r has ended (%s), but is recorded as %s",
                *(task.id, task.plain_title, ended.state, record.state),
            )
        elif record.state == states.RETRYING:
            try:
                announce(record)
            finally:
                self.threads.start(task)
        else:
            self.sequel.follow(task, record, callbacks)

    def _goes_on(self, task, ended):
        may_go_on = not (task.cancel_requested or self.is_stopping)
        return ended.retry_in is not None and may_go_on

    # The end.

    def end(self, task, ended):
        """Note the end of a task, and return its record of this moment.

        ``ended``: the Outcome. Called under the lock, unlike all others.
        """
        self.threads.withdraw(task)
        self.unfinished.end(task, ended, self.executor.instance)
        self.changed.notify_all()
        record = self.record(task)
        self.forgetting.remember(self.store.note_end(task))
        if task.forget:
            self.store.forget(task)
        return record

    def cancel(self, task, by):
        """Cancel a task that waits, ask one that runs to stop; return its record.

        ``by``: an Intervention.
        """
        with self.changed:
            if not (task.state in states.FINISHED or task.cancel_requested):
                note_intervention(task, by)
            is_waiting = self.unfinished.is_waiting(task)
            if is_waiting:
                reason = rules.cancelled_while_waiting(task.attempts)
                record = self.end(task, outcome.cancelled(reason))
            else:
                if task.state not in states.FINISHED:
                    task.cancel_requested = True
                record = self.record(task)
        if is_waiting:
            self.sequel.follow(task, record)
            self.forgetting.look()
        return record

    def stop(self):
        """Start nothing more, and ask all that runs to stop; see ``Executor``."""
        by = shutdown()
        with self.changed:
            self.is_stopping = True
            for task in self.unfinished.tasks.values():
                if not task.cancel_requested:
                    self._stopped.append(task)
                    note_intervention(task, by)
                task.cancel_requested = True
            self.executor.dispatcher.stop(self)

    def leave(self, deadline):
        """Wait for what runs; return the titles of what is lost. See ``Executor``."""
        with self.changed:
            deadline.wait_for(self.changed, self.threads.are_idle)
            left = list(self.unfinished.tasks.values())
        self._lose(left)
        if is_serving():
            leave_word(self, self._stopped)
        # Some may have come to their end after all.
        return [task.plain_title for task in left if task.state == states.LOST]

    def _lose(self, tasks):
        reason = TaskLost("the process has ended before the task had")
        for task in tasks:
            self.finish(task, outcome.failed(reason, state=states.LOST))
