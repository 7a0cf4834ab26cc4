"""The in-process scheduler: tasks in memory, one new thread for each.

Comes in: a Call and Options, in the thread of a request. Goes out: threads, and
records for everybody. The global utility; ``api.py`` calls it.

All that is shared is changed under one lock, and nothing else is done under it:
no task, no event, no I/O.
"""

from AccessControl.SecurityManagement import noSecurityManager
from collections import OrderedDict
from collective.background import states
from collective.background.capture.call import capture_call
from collective.background.capture.call import capture_callbacks
from collective.background.capture.call import VIEW
from collective.background.capture.pickling import unpack
from collective.background.capture.snapshot import capture_snapshot
from collective.background.capture.snapshot import find_application
from collective.background.capture.snapshot import find_database
from collective.background.capture.snapshot import without_form
from collective.background.config import load_settings
from collective.background.events import announce
from collective.background.events import announce_scheduled
from collective.background.events import note_transition
from collective.background.events import TaskScheduled
from collective.background.exceptions import BadOption
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import QueueFull
from collective.background.exceptions import ShuttingDown
from collective.background.exceptions import TaskCancelled
from collective.background.exceptions import TaskFailed
from collective.background.exceptions import TaskLost
from collective.background.exceptions import TaskNotFound
from collective.background.exceptions import WaitTimeout
from collective.background.interfaces import ITransactionalScheduler
from collective.background.options import Options
from collective.background.running import outcome
from collective.background.running.current import running
from collective.background.running.current import TaskLogHandler
from collective.background.running.runner import run
from collective.background.scheduling.dependencies import Dependencies
from collective.background.scheduling.dispatcher import Dispatcher
from collective.background.scheduling.execution import Execution
from collective.background.scheduling.groups import GroupState
from collective.background.scheduling.joining import join_transaction
from collective.background.scheduling.task import Task
from collective.background.scheduling.uniqueness import UniqueKeys
from dataclasses import replace
from datetime import datetime
from datetime import UTC
from dm.zodb.asynchronous.scheduler import TransactionalScheduler as BaseScheduler
from functools import cached_property
from itertools import islice
from time import monotonic
from zope.event import notify
from zope.interface import implementer

import logging
import os
import secrets
import socket
import threading


logger = logging.getLogger(__name__)

PLAIN = Options()

_log_handler = TaskLogHandler()


@implementer(ITransactionalScheduler)
class TransactionalScheduler(BaseScheduler):
    """Keeps tasks in memory and runs them in threads of this process.

    ``timeout``: how long finished tasks are kept (seconds), instead of the
    setting ``keep``. ``settings``: Settings, instead of those of the process.

    As in the base class, ``_schedules`` has all tasks by their id, the oldest
    first, and ``_completed`` when they have ended, those that ended first first.
    """

    MAPPING_FACTORY = OrderedDict

    def __init__(self, timeout=None, settings=None):
        super().__init__()
        if settings is not None:
            self.settings = settings
        if timeout is not None:
            self.settings = replace(self.settings, keep=timeout)
        self.instance = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lock = threading.RLock()
        # Notified when a task has ended, and when a running one is to stop.
        self._changed = threading.Condition(self._lock)
        self._running = set()  # ids of those that run in a thread
        self._waiting = set()  # ids of those that take room in the waiting room
        self._dependencies = Dependencies()
        self._groups = {}
        self._unique = UniqueKeys()
        self._unfinished = {}  # committed tasks by their id
        self._stopping = False
        self._the_dispatcher = None

    @cached_property
    def settings(self):
        # Not before somebody asks: the configuration of Zope comes later than
        # the registration of utilities.
        return load_settings()

    @property
    def _dispatcher(self):
        with self._lock:
            if self._the_dispatcher is None:
                self._the_dispatcher = Dispatcher(
                    self._lock, self.settings.queues, self._run, self._refused
                )
            return self._the_dispatcher

    # Scheduling.

    def schedule(self, f, *args, **kw):
        return self.add_task(capture_call(f, args, kw), PLAIN)

    def add_task(self, call, options, group=None):
        task = self._make_task(call, options, group)
        if task.unique_key is not None:
            with self._changed:
                holder = self._unique.find(task.unique_key)
            if holder is not None:
                task.close()
                return holder.id
        notify(TaskScheduled(task.record(self.instance)))
        try:
            join_transaction(
                reserve=lambda: self._reserve(task),
                finish=lambda: self._committed(task),
                forget=lambda: self._forget(task),
            )
        except BaseException:
            task.close()
            raise
        self._keep(task)
        return task.id

    def run_now(self, call, options, work, group=None):
        task = self._make_task(call, options, group)
        notify(TaskScheduled(task.record(self.instance)))
        try:
            task.started = task.created
            with self._changed:
                self._set_state(task, states.RUNNING)
            with running(Execution(self, task)):
                ended = outcome.succeeded(outcome.pack_result(work()))
            join_transaction(
                reserve=lambda: None,
                finish=lambda: self._committed_ended(task),
                forget=lambda: self._forget(task),
            )
        except BaseException:
            task.close()
            raise
        self._keep(task)
        with self._changed:
            self._end(task, ended)
        return task.id

    def _make_task(self, call, options, group):
        self._check_queue(options.queue)
        self._check_admission()
        for id in options.after:
            if self._find(id) is None:
                raise BadOption(
                    f"after is {id!r}, but there is no such task (any more); "
                    "pass what schedule() has returned"
                )
        callbacks = capture_callbacks(options)
        snapshot = capture_snapshot(options.user, with_form=call.kind != VIEW)
        return Task(call, snapshot, find_database(), options, callbacks, group)

    def _keep(self, task):
        with self._changed:
            self._schedules[task.id] = task
            if task.group is not None:
                self._groups.setdefault(
                    task.group.id, GroupState(task.group, task)
                ).note(task)
            if task.unique_key is not None:
                self._unique.join(task.unique_key, task)

    def _check_admission(self):
        if self._stopping:
            raise ShuttingDown(
                "this process is about to stop and takes no more tasks; try again "
                "in a moment"
            )

    def _check_queue(self, name):
        if name not in self.settings.queues:
            raise BadOption(
                f"there is no queue {name!r}; there are: "
                f"{', '.join(self.settings.queues)} (the setting 'queues' makes more)"
            )

    def _reserve(self, task):
        """Make room for a task, or refuse the transaction."""
        with self._changed:
            if task.state != states.QUEUED:
                return
            self._check_admission()
            self._check_room(task)
            if task.unique_key is not None:
                self._unique.take(task.unique_key, task)
            self._waiting.add(task.id)

    def _check_room(self, task):
        most = self.settings.max_waiting
        if len(self._waiting) >= most:
            raise QueueFull(
                f"{most} tasks are waiting already, and 'max_waiting' allows no "
                f"more, so {task.plain_title!r} was refused; try again later"
            )

    def _committed(self, task):
        task.committed = True
        if task.state == states.QUEUED:
            note_transition(task.record(self.instance))
            self._hand_over(task)

    def _committed_ended(self, task):
        task.committed = True
        self._settle(task, task.record(self.instance))

    def _hand_over(self, task):
        """The task may start: when its time has come, those before it have
        succeeded, and a slot of its queue is free."""
        with self._changed:
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
            self._dispatcher.push(task, task.not_before)

    def _look_at_predecessors(self, task):
        """Return the ids to wait for, and the exception if one is in vain."""
        missing = []
        for id in task.options.after:
            before = self._schedules.get(id)
            if before is None:
                return [], TaskCancelled(
                    f"the task {id}, after which this one was to start, is not known "
                    "any more"
                )
            if before.state in states.UNFINISHED:
                missing.append(id)
            elif before.state != states.SUCCEEDED:
                return [], _in_vain(before)
        return missing, None

    def _follow(self, task):
        """A task has ended: see to those that were to start after it."""
        with self._changed:
            if task.state == states.SUCCEEDED:
                free, stuck = self._dependencies.succeeded(task.id), []
            else:
                free, stuck = [], self._dependencies.waiting_for(task.id)
        for successor in free:
            self._dispatcher.push(successor, successor.not_before)
        for successor in stuck:
            self._finish(successor, outcome.cancelled(_in_vain(task)))

    # In the thread of a task.

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
            if task.state not in (states.QUEUED, states.RETRYING):
                return False
            self._waiting.discard(task.id)
            self._running.add(task.id)
            task.started = task.started or datetime.now(UTC)
            self._set_state(task, states.RUNNING)
            return True

    def _execute(self, task):
        logging.getLogger().addHandler(_log_handler)
        try:
            announce(task.record(self.instance))
            ended = run(Execution(self, task))
        except BaseException as error:  # SystemExit and the like, of a subscriber
            ended = outcome.failed(error)
        self._finish(task, ended)

    def _refused(self, task, error):
        """There is no thread for the task; called by the dispatcher."""
        if self._begin(task):
            failure = TaskFailed(f"no thread could be started for the task: {error}")
            self._finish(task, outcome.failed(failure))

    # States.

    def _set_state(self, task, state):
        states.check_transition(task.id, task.state, state)
        task.state = state
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
            self._set_state(task, states.RETRYING)
            record = task.record(self.instance)
        announce(record)
        with self._changed:
            self._changed.wait_for(lambda: task.cancel_requested, delay)
            # Not when it is about to stop, or was given up meanwhile.
            if task.state == states.RETRYING and not task.cancel_requested:
                self._set_state(task, states.RUNNING)

    def _finish(self, task, ended):
        """Note how a run has ended, unless the task was given up meanwhile."""
        with self._changed:
            self._running.discard(task.id)
            if task.state in states.FINISHED:
                self._changed.notify_all()
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
                callback = None
            else:
                call = task.callbacks and task.callbacks.get(ended.state)
                callback = self._make_callback(call, task, task) if call else None
                record = self._end(task, ended)
        if record.state == states.RETRYING:
            self._dispatcher.push(task, task.not_before)
            announce(record)
        else:
            self._settle(task, record, callback)

    def _put_off(self, task, ended):
        """Let a failed task wait for another attempt, in no slot."""
        task.failures += 1
        task.error = ended.error
        task.not_before = monotonic() + ended.retry_in
        self._waiting.add(task.id)
        self._set_state(task, states.RETRYING)
        return task.record(self.instance)

    def _settle(self, task, record, callback=None):
        """What comes after the end of a task."""
        announce(record)
        if not self._stopping:
            self._follow(task)
        if callback is not None:
            self._call_back(callback, record)
        if task.group is not None:
            self._settle_group(task)

    def _settle_group(self, task):
        with self._changed:
            state = self._groups.get(task.group.id)
            if state is None or not state.tell():
                return
            record = state.record(self.instance)
            call = task.group.callbacks.get(record.state)
            callback = call and self._make_callback(call, state, task)
        if callback:
            self._call_back(callback, record)

    def _make_callback(self, call, origin, task):
        """Return the task of ``on_success`` or ``on_failure``.

        ``origin``: has the snapshot and the database to use; ``task``: the one
        that has ended. Nobody could be refused, so it takes no account of the
        waiting room.
        """
        options = Options(
            title=f"{task.plain_title}: {call.name}",
            queue=task.options.queue,
            priority=task.options.priority,
        )
        return Task(call, without_form(origin.snapshot), origin.database, options)

    def _call_back(self, callback, record):
        callback.call = replace(callback.call, extra=(record,))
        announce_scheduled(callback.record(self.instance))
        self._keep(callback)
        self._committed(callback)

    def _end(self, task, ended):
        """Note the end of a task, and return its record of this moment."""
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
            self._completed[task.id] = monotonic()
            self._evict()
        if task.forget:
            self._forget(task)
        return record

    def _forget(self, task):
        with self._changed:
            self._schedules.pop(task.id, None)
            self._completed.pop(task.id, None)
            self._waiting.discard(task.id)
            if task.group is not None and task.group.id in self._groups:
                self._groups[task.group.id].leave(task)
                if not self._groups[task.group.id].present:
                    del self._groups[task.group.id]
            if task.unique_key is not None:
                self._unique.leave(task.unique_key, task)
        task.close()

    def _evict(self):
        """Forget finished tasks that are too old or too many."""
        oldest = monotonic() - self.settings.keep
        while self._completed:
            id, at = next(iter(self._completed.items()))
            if at > oldest and len(self._completed) <= self.settings.keep_count:
                return
            self._forget(self._schedules[id])

    # Reading.

    def _find(self, id):
        with self._changed:
            self._evict()
            return self._schedules.get(id)

    def _get(self, id):
        task = self._find(id)
        if task is None:
            raise TaskNotFound(f"there is no task {id!r} (any more)")
        return task

    def record(self, id):
        group = self._groups.get(id)
        if group is not None:
            with self._changed:
                return group.record(self.instance)
        task = self._find(id)
        return None if task is None else task.record(self.instance)

    def completed(self, id):
        record = self.record(id)
        return None if record is None else record.state in states.FINISHED

    def get_result(self, id):
        task = self._find(id)
        if task is None:
            return None
        if task.state not in states.FINISHED:
            return False
        app = find_application()
        result = task.result and unpack(task.result, app)
        exception = task.exception and unpack(task.exception, app)
        join_transaction(
            reserve=lambda: None,
            finish=lambda: self.remove(id),
            forget=lambda: None,
        )
        return result, exception

    def records(self, *, start=0, limit=50, **filters):
        stop = None if limit is None else start + limit
        with self._changed:
            found = islice(self._select(**filters), start, stop)
            return [task.record(self.instance) for task in found]

    def count(self, **filters):
        with self._changed:
            return sum(1 for _ in self._select(**filters))

    def _select(
        self,
        states=None,
        user_id=None,
        user_path=None,
        site_path=None,
        context_path=None,
        queue=None,
        group_id=None,
    ):
        """Yield the committed tasks that pass the filters, newest first."""
        self._evict()
        wanted = _check_states(states)
        for task in reversed(self._schedules.values()):
            user = task.snapshot.user
            if (
                task.committed
                and task.state in wanted
                and user_id in (None, user.id)
                and user_path in (None, user.folder)
                and site_path in (None, task.snapshot.site_path)
                and context_path in (None, task.call.context_path)
                and queue in (None, task.options.queue)
                and group_id in (None, task.group and task.group.id)
            ):
                yield task

    def queues(self):
        with self._changed:
            return [queue.status() for queue in self._dispatcher.queues.values()]

    def wait(self, id, timeout):
        what = self._groups.get(id) or self._get(id)
        with self._changed:
            if not self._changed.wait_for(
                lambda: what.state in states.FINISHED, timeout
            ):
                record = what.record(self.instance)
                raise WaitTimeout(
                    f"task {id} {record.title!r} is still {record.state} after "
                    f"{timeout} s"
                )
            return what.record(self.instance)

    def wait_all(self, timeout):
        deadline = monotonic() + timeout
        with self._changed:
            if not self._changed.wait_for(lambda: not self._unfinished, timeout):
                raise WaitTimeout(
                    f"after {timeout} s there are still unfinished tasks: "
                    + ", ".join(
                        f"{task.plain_title!r} ({task.state})"
                        for task in islice(self._unfinished.values(), 10)
                    )
                )
        self._dispatcher.join(deadline - monotonic())

    # Control.

    def cancel(self, id):
        if id in self._groups:
            for member in self._members(id):
                self.cancel(member)
            return self.record(id)
        task = self._get(id)
        with self._changed:
            if self._dispatcher.discard(task) or task.state == states.QUEUED:
                reason = TaskCancelled("the task was cancelled before it had begun")
                record = self._end(task, outcome.cancelled(reason))
            else:
                if task.state not in states.FINISHED:
                    task.cancel_requested = True
                    self._changed.notify_all()
                return task.record(self.instance)
        self._settle(task, record)
        return record

    def remove(self, id):
        for member in self._members(id):
            self.remove(member)
        task = self._find(id)
        if task is None:
            return
        task.forget = True
        self.cancel(id)
        with self._changed:
            if task.state in states.FINISHED:
                self._forget(task)

    def retry(self, id):
        if id in self._groups:
            return self._retry_group(id)
        task = self._get(id)
        with self._changed:
            states.check_transition(id, task.state, states.QUEUED)
            self._check_admission()
            self._check_room(task)
            if task.unique_key is not None:
                self._check_unique(task)
            self._set_state(task, states.QUEUED)
            task.reset()
            del self._completed[id]
            record = task.record(self.instance)
        announce(record)
        if task.committed:
            self._hand_over(task)
        return record

    def _members(self, id):
        """Return the ids of the tasks of a group."""
        with self._changed:
            group = self._groups.get(id)
            return list(group.present) if group else []

    def _retry_group(self, id):
        ended = [
            member
            for member in self._members(id)
            if states.QUEUED in states.TRANSITIONS[self.record(member).state]
        ]
        if not ended:
            raise IllegalTransition(
                f"no task of the group {id} has failed, was cancelled or lost"
            )
        for member in ended:
            self.retry(member)
        return self.record(id)

    def _check_unique(self, task):
        holder = self._unique.find(task.unique_key)
        if holder is not None:
            raise IllegalTransition(
                f"task {task.id} cannot be tried again: the task {holder.id} with the "
                f"same unique key {task.options.unique!r} is unfinished"
            )
        self._unique.take(task.unique_key, task)

    def pause(self, queue):
        self._check_queue(queue)
        self._dispatcher.pause(queue)

    def resume(self, queue):
        self._check_queue(queue)
        self._dispatcher.resume(queue)

    def drain(self, timeout=None):
        if timeout is None:
            timeout = self.settings.drain_timeout
        with self._changed:
            self._stopping = True
            for task in self._unfinished.values():
                task.cancel_requested = True
            self._dispatcher.stop()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: all(
                    t.state == states.QUEUED for t in self._unfinished.values()
                ),
                timeout,
            )
            left = list(self._unfinished.values())
        self._lose(left)

    def _lose(self, tasks):
        reason = TaskLost("the process has ended before the task had")
        for task in tasks:
            self._finish(task, outcome.failed(reason, state=states.LOST))


def _in_vain(before):
    """Return the exception of a task that was to start after another one."""
    return TaskCancelled(
        f"the task {before.id} {before.plain_title!r}, after which this one was to "
        f"start, is {before.state}"
    )


def _check_states(wanted):
    """Return a set of states; all of them for None."""
    if wanted is None:
        return states.TRANSITIONS
    wanted = {wanted} if isinstance(wanted, str) else set(wanted)
    unknown = sorted(wanted.difference(states.STATES))
    if unknown:
        raise BadOption(
            f"there is no state {', '.join(map(repr, unknown))}; there are: "
            + ", ".join(states.STATES)
        )
    return wanted
