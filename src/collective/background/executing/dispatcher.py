"""The dispatcher: starts a new thread for each task, when a slot is free.

It is a thread of its own that lives as long as there is something to do. So the
committing thread has only to wake it up, and goes on with the visitor's answer;
and as it joins each thread that has ended before it starts the next one, there
are never more threads than slots.

Comes in: tasks that may start (``push``, then ``wake_up``). Goes out: calls of
``run(task)``, each in a thread named ``background-<queue>-<id>``. Used by the
scheduler.
"""

from collective.background.executing.queues import Queue
from heapq import heapify
from heapq import heappop
from heapq import heappush
from itertools import count
from time import monotonic

import logging
import threading


logger = logging.getLogger(__name__)

IDLE = 1.0  # seconds without any task, after which the dispatcher's thread ends
LONGEST = 3600.0  # seconds; for much more than a lifetime no condition can wait


class Dispatcher:
    """Queues, and the threads of their tasks.

    - ``lock``: what the queues are changed under; a threading.RLock
    - ``slots``: the number of slots by the name of the queue
    - ``run(task)``: called in the task's own thread
    - ``refused(task, error)``: called when the interpreter starts no thread
    """

    def __init__(self, lock, slots, run, refused):
        self.queues = {name: Queue(name, count) for name, count in slots.items()}
        self._run = run
        self._refused = refused
        self._wake = threading.Condition(lock)
        self._thread = None
        self._ended = []  # (queue, thread), to be joined
        self._stopped = False
        self._dismissed = False
        # Tasks whose time has not come. In the heap there may be some which were
        # discarded; they are dropped when their time has come, or by discard().
        self._timers = {}
        self._heap = []
        self._numbers = count()

    def push(self, task, at=0.0):
        """Let a task start as soon as it is its turn, and not before ``at``.

        Not without ``wake_up()``, which must not be called under the lock.
        ``at``: of the monotonic clock (seconds), which nobody sets back.
        """
        with self._wake:
            if at > monotonic():
                entry = self._timers[task.id] = (at, next(self._numbers), task)
                heappush(self._heap, entry)
            else:
                self.queues[task.options.queue].push(task)

    def discard(self, task):
        """A waiting task is not to start any more; return whether it was waiting."""
        with self._wake:
            if self._timers.pop(task.id, None) is None:
                return self.queues[task.options.queue].discard(task)
            if len(self._heap) > 2 * len(self._timers):
                self._heap = list(self._timers.values())
                heapify(self._heap)
            # If it was the last one, there is nothing to stay for.
            self._wake.notify_all()
            return True

    def pause(self, name):
        with self._wake:
            self.queues[name].paused = True

    def resume(self, name):
        with self._wake:
            self.queues[name].paused = False
        self.wake_up()

    def stop(self):
        """Start no more threads."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()

    def join(self, timeout):
        """Wait until no thread is left, after the last task has ended.

        ``timeout``: seconds; returns then, whatever is left.
        """
        deadline = monotonic() + timeout
        with self._wake:
            thread, self._dismissed = self._thread, True
            self._wake.notify_all()
        if thread is not None:
            thread.join(deadline - monotonic())

    def wake_up(self):
        """See to what was pushed."""
        error = None
        with self._wake:
            if self._thread is None and (self._can_start() or self._has_timers()):
                self._dismissed = False
                self._thread = threading.Thread(
                    target=self._dispatch, name="background-dispatcher", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError as refusal:
                    self._thread, error = None, refusal
                    refused = [task for _, task in self._next_tasks()]
                    # Nobody would wake up for these.
                    refused += [task for _, _, task in self._timers.values()]
                    self._timers, self._heap = {}, []
            self._wake.notify_all()
        if error is not None:
            for task in refused:
                self._refused(task, error)

    def _can_start(self):
        return not self._stopped and any(
            queue.can_start() for queue in self.queues.values()
        )

    def _is_idle(self):
        return not self._ended and not any(
            queue.threads for queue in self.queues.values()
        )

    def _queue_due(self):
        """Move tasks whose time has come to their queues."""
        while self._heap and self._heap[0][0] <= monotonic():
            entry = heappop(self._heap)
            _, _, task = entry
            if self._timers.get(task.id) is entry:
                del self._timers[task.id]
                self.queues[task.options.queue].push(task)

    def _has_timers(self):
        return bool(self._timers) and not self._stopped

    def _until_due(self):
        """Return seconds until there may be something to do by itself."""
        if self._heap and self._has_timers():
            return min(LONGEST, max(0.0, self._heap[0][0] - monotonic()))
        return IDLE

    def _has_work(self):
        return bool(self._ended) or self._can_start()

    def _has_nothing_left(self):
        return self._is_idle() and not self._can_start() and not self._has_timers()

    def _is_dismissed(self):
        return self._has_nothing_left() and (self._stopped or self._dismissed)

    def _dispatch(self):
        """The whole life of the dispatcher's thread."""
        while True:
            with self._wake:
                if not self._has_work() and not self._is_dismissed():
                    self._wake.wait(self._until_due())
                self._queue_due()
                if self._has_nothing_left():
                    self._thread = None
                    return
                ended, self._ended = self._ended, []
            for _, thread in ended:
                thread.join()
            self._start_threads(ended)

    def _start_threads(self, ended):
        refused = []
        with self._wake:
            for queue, thread in ended:
                queue.threads.discard(thread)
            for queue, task in self._next_tasks():
                # A daemon: a task that hangs must not keep the process alive.
                thread = threading.Thread(
                    target=self._run_task,
                    args=(queue, task),
                    name=f"background-{queue.name}-{task.id}",
                    daemon=True,
                )
                queue.threads.add(thread)
                try:
                    thread.start()
                except RuntimeError as error:
                    queue.threads.discard(thread)
                    refused.append((task, error))
        for task, error in refused:
            self._refused(task, error)

    def _next_tasks(self):
        """Yield (queue, task) of what may start, while slots are free."""
        for queue in self.queues.values():
            while not self._stopped and (task := queue.pop()) is not None:
                yield queue, task

    def _run_task(self, queue, task):
        """The whole life of a task's thread."""
        try:
            self._run(task)
        finally:
            with self._wake:
                self._ended.append((queue, threading.current_thread()))
                self._wake.notify_all()
