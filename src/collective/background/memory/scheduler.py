"""The in-process scheduler: tasks in memory, one new thread for each.

Comes in: a Call and Options, in the thread of a request. Goes out: threads, and
records for everybody. The global utility; ``api.py`` calls it.

All that is shared is changed under one lock, and nothing else is done under it:
no task, no event, no I/O.
"""

from collections import OrderedDict
from collective.background.capture.call import capture_call
from collective.background.capture.snapshot import find_database
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import Executor
from collective.background.executing.executor import process_executor
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.dependencies import Dependencies
from collective.background.memory.index import Index
from collective.background.memory.lifecycle import Lifecycle
from collective.background.memory.reading import Reading
from collective.background.memory.uniqueness import UniqueKeys
from collective.background.model import states
from collective.background.model.config import load_settings
from collective.background.model.forking import in_child
from collective.background.model.options import Options
from collective.background.running import outcome
from collective.background.running.current import running
from collective.background.scheduling import rules
from collective.background.scheduling.execution import Execution
from collective.background.scheduling.groups import GroupState
from collective.background.scheduling.joining import join_transaction
from collective.background.telling.events import announce
from collective.background.telling.events import TaskScheduled
from dataclasses import replace
from dm.zodb.asynchronous.scheduler import TransactionalScheduler as BaseScheduler
from zope.event import notify
from zope.interface import implementer

import threading


PLAIN = Options()


@implementer(ITransactionalScheduler)
class TransactionalScheduler(Reading, Lifecycle, BaseScheduler):
    """Keeps tasks in memory and runs them in threads of this process.

    ``timeout``: how long finished tasks are kept (seconds), instead of the
    setting ``keep``. ``settings``: Settings, instead of those of the process. With
    either, it has an executor of its own.

    As in the base class, ``_schedules`` has all tasks by their id, and
    ``_completed`` when they have ended, those that ended first first. ``_ended``
    has the latter by how long they are kept.
    """

    MAPPING_FACTORY = OrderedDict

    def __init__(self, timeout=None, settings=None):
        super().__init__()
        if timeout is not None:
            settings = replace(settings or load_settings(), keep=timeout)
        self._own_settings = settings
        self._begin_anew()
        in_child(self._begin_anew)

    def _begin_anew(self):
        """Know of no task: also in the child of a fork, as they are the parent's."""
        self._schedules.clear()
        self._completed.clear()
        self._lock = threading.RLock()
        # Notified when a task has ended, and when a running one is to stop.
        self._changed = threading.Condition(self._lock)
        self._running = set()  # ids of those that run in a thread
        self._telling = 0  # how many threads are about to tell of an end
        self._waiting = set()  # ids of those that take room in the waiting room
        self._index = Index()  # of those that are committed
        self._ended = {}
        self._dependencies = Dependencies()
        self._groups = {}
        self._unique = UniqueKeys()
        self._unfinished = {}  # committed tasks by their id
        self._jobs = {}  # what the dispatcher has of them
        self._stopping = False
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

    @property
    def instance(self):
        """The id of the process."""
        return self.executor.instance

    @property
    def _dispatcher(self):
        return self.executor.dispatcher

    # Scheduling.

    def schedule(self, f, *args, **kw):
        return self.add_task(capture_call(f, args, kw), PLAIN)

    def add_task(self, call, options, group=None):
        task = self._make_task(call, options, group)
        holder = self._find_holder(task)
        if holder is not None:
            task.close()
            return holder.id
        record = task.record(self.instance)
        notify(TaskScheduled(record))
        try:
            join_transaction(
                reserve=lambda: self._reserve(task),
                finish=lambda: self._committed(task, record),
                forget=lambda: self._forget(task),
            )
        except BaseException:
            task.close()
            raise
        self._keep(task)
        return task.id

    def run_now(self, call, options, work, group=None):
        task = self._make_task(call, options, group)
        holder = self._find_holder(task)
        if holder is not None:
            task.close()
            return holder.id
        notify(TaskScheduled(task.record(self.instance)))
        try:
            task.started = task.created
            with self._changed:
                self._set_state(task, states.RUNNING)
            with running(Execution(self, task)):
                ended = outcome.succeeded(outcome.pack_result(work()))
            task.keep_arguments()
            callbacks = self._callbacks_of(task, ended.state)
            join_transaction(
                reserve=lambda: None,
                finish=lambda: self._committed_ended(task, callbacks),
                forget=lambda: self._forget(task),
            )
        except BaseException:
            self._forget(task)  # its group knows it already
            raise
        with self._changed:
            self._keep(task)
            self._end(task, ended)
        return task.id

    def _make_task(self, call, options, group):
        rules.check_queue(options.queue, self.settings.queues)
        rules.check_admission(self._stopping)
        return rules.capture_task(
            call, options, group, find_database(), self.settings, self._find
        )

    def _find_holder(self, task):
        """Return the task that has the unique key of ``task``, or None."""
        if task.unique_key is None:
            return None
        with self._changed:
            return self._unique.find(task.unique_key)

    def _keep(self, task):
        with self._changed:
            self._schedules[task.id] = task
            if task.group is not None:
                self._groups.setdefault(
                    task.group.id, GroupState(task.group, task)
                ).note(task)
            if task.unique_key is not None:
                self._unique.join(task.unique_key, task)

    def _reserve(self, task):
        """Make room for a task, or refuse the transaction."""
        with self._changed:
            if task.state != states.QUEUED:
                return
            rules.check_admission(self._stopping)
            self._check_room(task)
            if task.unique_key is not None:
                self._unique.take(task.unique_key, task)
            self._waiting.add(task.id)

    def _check_room(self, task):
        most = self.settings.max_waiting
        rules.check_room(len(self._waiting), most, task.plain_title)

    # Control.

    def cancel(self, id):
        if id in self._groups:
            for member in self._members(id):
                self.cancel(member)
            return self.record(id)
        return self._cancel(self._get(id))

    def _cancel(self, task):
        with self._changed:
            if self._is_waiting(task):
                reason = rules.cancelled_while_waiting(task.attempts)
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
        self._cancel(task)
        with self._changed:
            if task.state in states.FINISHED:
                self._forget(task)

    def retry(self, id):
        if id in self._groups:
            return self._retry_group(id)
        task = self._get(id)
        with self._changed:
            states.check_transition(id, task.state, states.QUEUED)
            rules.check_admission(self._stopping)
            self._check_room(task)
            if task.unique_key is not None:
                self._check_unique(task)
            self._set_state(task, states.QUEUED)
            task.reset()
            self._no_longer_ended(task)
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
            if states.can_be_retried(self.record(member).state)
        ]
        rules.check_retries(id, ended)
        for member in ended:
            self.retry(member)
        return self.record(id)

    def _check_unique(self, task):
        holder = self._unique.find(task.unique_key)
        rules.check_unique(task.id, task.options.unique, holder)
        self._unique.take(task.unique_key, task)

    def dismiss(self, id):
        for member in self._members(id):
            self.dismiss(member)
        if id not in self._groups:
            task = self._get(id)
            with self._changed:
                rules.check_dismissal(task)
                task.dismissed = True
        return self.record(id)

    def pause(self, queue):
        rules.check_queue(queue, self.settings.queues)
        self._dispatcher.pause(queue, self)

    def resume(self, queue):
        rules.check_queue(queue, self.settings.queues)
        self._dispatcher.resume(queue, self)

    def drain(self, timeout=None):
        if timeout is None:
            timeout = self.settings.drain_timeout
        self.stop()
        self.leave(Deadline(timeout))

    def stop(self):
        """Start nothing more, and ask all that runs to stop; see ``Executor``."""
        with self._changed:
            self._stopping = True
            for task in self._unfinished.values():
                task.cancel_requested = True
            self._dispatcher.stop(self)
            self._changed.notify_all()

    def leave(self, deadline):
        """Wait for what runs; return the titles of what is lost. See ``Executor``."""
        with self._changed:
            deadline.wait_for(
                self._changed, lambda: not self._running and not self._telling
            )
            left = list(self._unfinished.values())
        self._lose(left)
        # Some may have come to their end after all.
        return [task.plain_title for task in left if task.state == states.LOST]
