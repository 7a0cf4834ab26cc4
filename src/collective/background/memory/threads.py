"""The threads of tasks: how each gets one, and what it does from first to last."""

from AccessControl.SecurityManagement import noSecurityManager
from collective.background.exceptions import ReplacedError
from collective.background.executing.queues import Job
from collective.background.memory.standstill import Standstill
from collective.background.model import states
from collective.background.model.conflicts import ONCE
from collective.background.running import outcome
from collective.background.running.current import keep_log_lines
from collective.background.running.runner import run
from collective.background.scheduling.contention import Contention
from collective.background.scheduling.execution import Execution
from collective.background.telling.events import announce
from functools import partial
from threading import main_thread


class TaskThreads:
    """Lets each task run in a new thread of the dispatcher.

    ``lifecycle``: the Lifecycle, which is told how a run has ended.
    """

    def __init__(self, lifecycle):
        self._lifecycle = lifecycle
        self._standstill = Standstill(lifecycle)
        self._jobs = {}  # what the dispatcher has, by the ids of the tasks
        self._telling = 0  # how many threads are about to tell of an end
        self._contention = Contention()

    def start(self, task):
        """Let a task run as soon as its time has come and a slot is free.

        Not called under the lock. The task may have ended meanwhile.
        """
        dispatcher = self._lifecycle.executor.dispatcher
        with self._lifecycle.changed:
            is_waiting = self._lifecycle.unfinished.is_waiting(task)
            if is_waiting and not self._standstill.takes(task):
                job = self._jobs[task.id] = Job(
                    id=task.id,
                    queue=task.queue,
                    priority=task.priority,
                    source=self._lifecycle,
                    run=partial(self._run_in_thread, task),
                    refused=partial(self._refused, task),
                    site=task.site_path,
                    user=(task.user_path, task.user_id),
                    locks=task.locks,
                    limit=self._lifecycle.settings.limits.get(task.queue),
                )
                dispatcher.push(job, task.not_before)
        dispatcher.wake_up()

    def withdraw(self, task):
        """Do not start a task any more, if it waits. Called under the lock."""
        job = self._jobs.pop(task.id, None)
        if job is not None:
            self._lifecycle.executor.dispatcher.discard(job)

    def are_idle(self):
        """Whether none runs, and all have told of their ends. Called under the lock."""
        return not self._lifecycle.unfinished.running and not self._telling

    def run(self, task):
        """Run a task in this thread, unless it has ended meanwhile."""
        if self._begin(task):
            self._finish(task, self._execute(task))

    def _run_in_thread(self, task):
        """The whole life of a task's thread; called by the dispatcher."""
        if self._has_to_take_turns(task):
            self.start(task)
            return
        try:
            if not self._standstill.stops(task):
                self.run(task)
        finally:
            noSecurityManager()

    def _has_to_take_turns(self, task):
        """Give a task the lock of its kind, if that conflicts and it has none yet."""
        if task.conflicts or not self._contention.is_high(_kind_of(task)):
            return False
        task.conflicts = ONCE
        return True

    def _refused(self, task, error):
        """There is no thread for the task; called by the dispatcher."""
        if not main_thread().is_alive():
            return  # the process ends, and the task is lost: see Lifecycle.leave()
        if self._begin(task):
            failure = ReplacedError(f"no thread could be started for the task: {error}")
            self._finish(task, outcome.failed(failure))

    def _begin(self, task):
        with self._lifecycle.changed:
            if not self._lifecycle.unfinished.begin(task):
                return False
            self._jobs.pop(task.id, None)
            return True

    def _execute(self, task):
        """Return the Outcome."""
        keep_log_lines()
        try:
            announce(self._lifecycle.record(task))
            ended = run(Execution(self._lifecycle, task))
            self._contention.note(_kind_of(task), ended.conflict)
            if ended.state == states.SUCCEEDED:
                task.keep_arguments()  # all others keep the call itself
        except BaseException as error:  # SystemExit and the like, of a subscriber
            ended = outcome.failed(error)
        return ended

    def _finish(self, task, ended):
        """Finish, and let those go on who wait until that has been told, too."""
        with self._lifecycle.changed:
            self._telling += 1
        try:
            self._lifecycle.finish(task, ended)
        finally:
            with self._lifecycle.changed:
                self._telling -= 1
                self._lifecycle.changed.notify_all()


def _kind_of(task):
    return task.site_path, task.callable
