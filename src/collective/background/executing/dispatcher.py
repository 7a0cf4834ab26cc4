"""The dispatcher: starts a new thread for each task, when a slot is free.

It is a thread of its own that lives as long as there is something to do. So the
committing thread has only to wake it up, and goes on with the visitor's answer;
and as it joins each thread that has ended before it starts the next one, there
are never more threads than slots.

Comes in: Jobs (``push``, then ``wake_up``), from all schedulers of the process.
Goes out: calls of ``job.run()``, each in a thread named
``background-<queue>-<id>``. Part of the executor.
"""

from collective.background.executing.locks import Locks
from collective.background.executing.stacks import thread_name
from collective.background.executing.timers import Timers
from collective.background.executing.turns import Queues
from math import inf
from time import monotonic

import logging
import threading


logger = logging.getLogger(__name__)

IDLE = 1.0  # seconds without any task, after which the dispatcher's thread ends
LONGEST = 3600.0  # seconds; for much more than a lifetime no condition can wait


class Dispatcher:
    """Queues, and the threads of their tasks.

    ``slots``: the number of slots by the name of the queue. Who sends jobs may hold
    locks of his own meanwhile: nothing of others is called under this one's lock.
    """

    def __init__(self, slots):
        self.queues = Queues(slots, Locks())
        # A signal may come while its own thread has it.
        self._wake = threading.Condition(threading.RLock())
        self._thread = None
        self._ended = []  # (queue, job, thread), to be joined
        self._dismissed = False
        self._timers = Timers()  # jobs whose time has not come, by their ids
        self._reminders = Timers()  # functions by the source that is to be reminded

    def push(self, job, at=0.0):
        """Let a job start as soon as it is its turn, and not before ``at``.

        Returns False if it never will, as its source was stopped. Not without
        ``wake_up()``, which must not be called under a lock that ``refused`` needs.
        ``at``: of the monotonic clock (seconds), which nobody sets back.
        """
        with self._wake:
            queue = self.queues[job.queue]
            if at <= monotonic() or queue.is_stopped(job.source):
                return queue.push(job)
            self._timers.set(job.id, at, job)
            return True

    def discard(self, job):
        """A waiting job is not to start any more; return whether it was waiting."""
        with self._wake:
            if not self._timers.discard(job.id):
                return self.queues[job.queue].discard(job)
            # If it was the last one, there is nothing to stay for.
            self._wake.notify_all()
            return True

    def remind(self, source, at, function):
        """Let ``function()`` be called, by the dispatcher's thread and under no lock.

        At ``at``, of the monotonic clock, or before, if that was asked for: each source
        is reminded of one thing at a time. Not after it was stopped. If nothing else is
        to be done, not without ``wake_up()``; nor after ``join()``.
        """
        with self._wake:
            if at < self._reminders.moment(source):
                self._reminders.set(source, at, function)
                self._wake.notify_all()

    def pause(self, name, source):
        with self._wake:
            self.queues[name].pause(source)

    def resume(self, name, source):
        with self._wake:
            self.queues[name].resume(source)
        self.wake_up()

    def stop(self, source):
        """Start nothing more of a source, now or later; return the jobs that waited."""
        with self._wake:
            jobs = [job for job in self._timers if job.source is source]
            for job in jobs:
                self._timers.discard(job.id)
            jobs += self.queues.stop(source)
            self._reminders.discard(source)
            self._wake.notify_all()
        return jobs

    def statuses(self, source):
        """Return a list of QueueStatus, as a source has them."""
        with self._wake:
            return [queue.status(source) for queue in self.queues.values()]

    def totals(self):
        """Return a list of QueueStatus of all sources together."""
        with self._wake:
            return [queue.total() for queue in self.queues.values()]

    def waiting(self, name, source):
        """Return how many jobs of a source are due, and wait for a slot."""
        with self._wake:
            return self.queues[name].waiting(source)

    def ask(self, function):
        """Return ``function(queues)``, which looks at Queues and changes nothing."""
        with self._wake:
            return function(self.queues)

    def join(self, source, timeout):
        """Wait until no thread of a source is left, after its last task has ended.

        ``timeout``: seconds; returns then, whatever is left.
        """
        deadline = monotonic() + timeout
        with self._wake:
            self._dismissed = True
            self._wake.notify_all()
            self._wake.wait_for(lambda: not self.queues.running(source), timeout)
            thread = self._thread if self._is_idle() else None
        if thread is not None:
            thread.join(max(0.0, deadline - monotonic()))

    def wake_up(self):
        """See to what was pushed."""
        refused = []
        with self._wake:
            has_more = self._timers or self._reminders
            if self._thread is None and (self.queues.can_start() or has_more):
                self._dismissed = False
                self._thread = threading.Thread(
                    target=self._dispatch, name="background-dispatcher", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError as error:
                    self._thread = None
                    jobs = [*self.queues.take_all(), *self._timers.take_all()]
                    refused = [(job, error) for job in jobs]  # nobody would wake up
            self._wake.notify_all()
        _refuse(refused)

    def _is_idle(self):
        return not self._ended and self.queues.are_idle()

    def _queue_due(self):
        """Move jobs whose time has come to their queues."""
        for job in self._timers.take(monotonic()):
            self.queues[job.queue].push(job)

    def _until_due(self):
        """Return seconds until there may be something to do by itself."""
        moment = min(self._timers.next(), self._reminders.next())
        if moment == inf:
            return IDLE
        return min(LONGEST, max(0.0, moment - monotonic()))

    def _has_work(self):
        return bool(self._ended) or self.queues.can_start()

    def _has_nothing_left(self):
        is_reminded = self._reminders and not self._dismissed
        has_more = self._timers or is_reminded
        return self._is_idle() and not self.queues.can_start() and not has_more

    def _dispatch(self):
        """The whole life of the dispatcher's thread."""
        while True:
            with self._wake:
                is_dismissed = self._dismissed and self._has_nothing_left()
                if not self._has_work() and not is_dismissed:
                    self._wake.wait(self._until_due())
                self._queue_due()
                reminders = self._reminders.take(monotonic())
                if self._has_nothing_left() and not reminders:
                    self._thread = None
                    return
                ended, self._ended = self._ended, []
            for *_, thread in ended:
                thread.join()
            self._start_threads(ended)
            for function in reminders:
                _remind(function)

    def _start_threads(self, ended):
        refused = []
        with self._wake:
            for queue, job, _ in ended:
                queue.end(job)
            for queue, job in self.queues.start():
                # A daemon: a task that hangs must not keep the process alive.
                thread = threading.Thread(
                    target=self._run_job,
                    args=(queue, job),
                    name=thread_name(queue.name, job.id),
                    daemon=True,
                )
                try:
                    thread.start()
                except RuntimeError as error:
                    queue.end(job)
                    refused.append((job, error))
            if ended:
                self._wake.notify_all()  # who waits for the threads of a source
        _refuse(refused)

    def _run_job(self, queue, job):
        """The whole life of a task's thread."""
        try:
            job.run()
        finally:
            with self._wake:
                self._ended.append((queue, job, threading.current_thread()))
                self._wake.notify_all()


def _remind(function):
    try:
        function()
    except Exception:  # the others are to go on
        logger.exception("a reminder of the dispatcher failed")


def _refuse(refused):
    """Tell whose jobs they are; ``refused``: pairs of a Job and the error."""
    for job, error in refused:
        try:
            job.refused(error)
        except BaseException:  # SystemExit of a subscriber would end the dispatcher
            logger.exception("the end of task %s could not be told", job.id)
