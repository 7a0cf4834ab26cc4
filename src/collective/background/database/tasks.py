"""A task as the database has it: a small object that changes, and a large one.

The small one is all that lists and instances look at, and is written at every
transition; by nobody but the one who makes the transition. So the transaction of a
task's own work, which writes that it has succeeded, conflicts with nobody. The
large one is the call, with all that was taken along from the request.
"""

from collections import deque
from collective.background.database.stored import load_call
from collective.background.database.stored import load_options
from collective.background.database.stored import load_package
from collective.background.database.stored import load_snapshot
from collective.background.database.stored import store_call
from collective.background.database.stored import store_options
from collective.background.database.stored import store_package
from collective.background.database.stored import store_snapshot
from collective.background.model import states
from collective.background.model.records import Progress
from collective.background.model.records import TaskRecord
from collective.background.scheduling.task import LOG_LINES
from collective.background.scheduling.task import Task
from dataclasses import fields
from dataclasses import replace
from datetime import datetime
from datetime import UTC
from persistent import Persistent
from time import time

import random


# Of what is stored. An instance leaves tasks of a later version to others.
VERSION = 1

_FIELDS = [field.name for field in fields(TaskRecord)]
# What a running task's instance knows better, see instances.py.
_REPORTED = ("title", "progress", "messages", "log")


class Body(Persistent):
    """What a StoredTask runs, and in which environment. It does not change.

    ``task``: a Task of ``scheduling/task.py``. Raises NotPortable.
    """

    def __init__(self, task):
        self._call = store_call(task.call)
        self._snapshot = store_snapshot(task.snapshot)
        self._options = store_options(task.options)
        self._callbacks = {
            state: tuple(map(store_call, calls))
            for state, calls in task.callbacks.items()
        }

    @property
    def call(self):
        return load_call(self._call)

    @property
    def snapshot(self):
        return load_snapshot(self._snapshot)

    @property
    def options(self):
        """Raises whatever the loading of classes raises."""
        return load_options(self._options)

    def callbacks(self, state):
        """Return the Calls to make when the task has ended like that."""
        return [load_call(call) for call in self._callbacks.get(state, ())]


class Result(Persistent):
    """What a run has left: stored Packages, or None."""

    def __init__(self, ended):
        self._result = store_package(ended.result)
        self._exception = store_package(ended.exception)

    @property
    def result(self):
        return load_package(self._result)

    @property
    def exception(self):
        return load_package(self._exception)


class StoredTask(Persistent):
    """Made of a Task of ``scheduling/task.py``, when that is scheduled.

    It has the attributes of a TaskRecord, but the id of another instance's claim
    may be in ``instance`` while it waits. And:

    - ``body``: its Body; ``kept``: its Result, or None
    - ``number``: orders tasks by age
    - ``home``: the oid of the scheduler; what was copied along with a site has
      another one there
    - ``hint``: the state by which the index knows it, see ``shards.py``
    - ``fence``: the number of the claim; who has an older one has lost the task
    - ``failures``, ``cursor``, ``batch_failures``: as of a Task; ``size``: how many
      items a batch has
    - ``keep`` (seconds), ``unique``, ``after``, ``rerun``: its options
    - ``callback_states``: at which somebody is told
    """

    fence = failures = cursor = 0
    kept = None
    batch_failures = ()

    def __init__(self, task, id, home):
        self.version = VERSION
        record = task.record("")
        for name in _FIELDS:
            setattr(self, name, getattr(record, name))
        self.id = id
        self.body = Body(task)
        self.number = int(time() * 1_000_000) << 10 | random.getrandbits(10)
        self.home = home
        self.hint = self.state
        self.size = len(task.call.items)
        self.keep = task.keep
        self.unique = task.options.unique
        self.after = task.options.after
        self.rerun = task.options.rerun
        self.callback_states = frozenset(task.callbacks)

    def record(self, report=None, cancel_requested=False):
        """Return the TaskRecord of this moment.

        ``report``: what its instance says of it while it runs, or None.
        ``cancel_requested``: whether it was asked to stop.
        """
        values = {name: getattr(self, name) for name in _FIELDS}
        if report is not None:
            values |= {name: getattr(report, name) for name in _REPORTED}
        return TaskRecord(**{**values, "cancel_requested": cancel_requested})

    def make_task(self, database):
        """Return a Task for the thread in which it runs. ``database``: to open there.

        Raises whatever the loading of classes raises.
        """
        body = self.body
        options = replace(body.options, title=self.title)
        task = Task(body.call, body.snapshot, database, options, self.keep)
        task.id = self.id
        task.state = self.state
        for name in ("created", "started", "attempts", "failures", "cursor"):
            setattr(task, name, getattr(self, name))
        task.progress, task.batch_failures = self.progress, self.batch_failures
        task.messages, task.log = self.messages, deque(self.log, LOG_LINES)
        return task

    # Transitions. Whoever makes them tells the index, see shards.py.

    def _become(self, state):
        states.check_transition(self.id, self.state, state)
        self.state = state

    def claim(self, instance):
        """An instance begins with it; return the number of the claim."""
        self._become(states.RUNNING)
        self.instance = instance
        self.fence += 1
        self.attempts += 1
        self.started = self.started or datetime.now(UTC)
        self.eta = None
        return self.fence

    def end(self, ended, task=None):
        """It has ended. ``ended``: an Outcome; ``task``: the Task that ran, if any."""
        self._become(ended.state)
        if task is not None:
            self.note(task)
        self.finished = datetime.now(UTC)
        self.eta = None
        self.error = ended.error
        self.has_result = ended.result is not None
        if self.has_result or ended.exception is not None:
            self.kept = Result(ended)

    def put_off(self, ended, task, eta):
        """It has failed, and waits for another attempt. ``eta``: aware, UTC."""
        self._become(states.RETRYING)
        self.note(task)
        self.error = ended.error
        self.eta = eta

    def release(self):
        """Its instance has stopped: another one may begin anew."""
        self.state = states.QUEUED
        self.fence += 1
        self.instance = ""

    def requeue(self):
        """It ended without success, and is to be tried again."""
        self._become(states.QUEUED)
        self.started = self.finished = self.eta = self.error = self.kept = None
        self.has_result = self.dismissed = False
        self.messages = ()
        self.failures = 0
        self.instance = ""
        self.after = ()
        if not self.cursor:
            self.progress = Progress()

    def keep_report(self, report):
        """Its instance is gone: keep what that has told last. ``report``: or None."""
        if report is not None:
            for name in _REPORTED:
                setattr(self, name, getattr(report, name))
        if self.size:
            self.progress = replace(self.progress, done=self.cursor, total=self.size)

    def note(self, task):
        """Keep what a run tells of itself; see also ``instances.Report``."""
        for name in ("attempts", "failures", "cursor", "batch_failures", "progress"):
            setattr(self, name, getattr(task, name))
        self.messages, self.log = tuple(task.messages), tuple(task.log)
        self.title = task.title
