"""Tasks that start, end, fail and are stopped in any order, in real threads.

What happens is drawn at random. After each step the scheduler has to come to what a
model expects: no task is lost, none runs twice at once, as many run as there are slots,
and within a priority nobody overtakes.
"""

from collective.background import current_task
from collective.background.capture.call import capture_call
from collective.background.exceptions import IllegalTransition
from collective.background.memory.scheduler import TransactionalScheduler
from collective.background.model import states
from collective.background.model.config import Settings
from collective.background.model.options import Options
from dataclasses import dataclass
from helpers import TIMEOUT
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
from itertools import count
from queue import SimpleQueue
from threading import Condition
from threading import Event
from time import monotonic

import pytest
import transaction


SLOTS = 2
ANY = st.integers(min_value=0, max_value=20)


class Stage:
    """Where the tasks of a machine are while they run.

    ``runs``: what tells each how to end, by the id of the task and a number.
    """

    def __init__(self):
        self.changed = Condition()
        self.runs = {}
        self._numbers = count()

    def play(self):
        run = (current_task().id, next(self._numbers))
        with self.changed:
            order = self.runs[run] = SimpleQueue()
            self.changed.notify_all()
        try:
            fails = order.get(timeout=TIMEOUT)
        finally:
            with self.changed:
                del self.runs[run]
                self.changed.notify_all()
        if fails:
            raise ValueError("no")
        current_task().check_cancelled()


STAGES = {}


def play(number):
    """What all tasks do. A stage cannot be carried, but a module finds it."""
    STAGES[number].play()


@dataclass
class Expected:
    """A task of the model. ``failures``: since somebody has had it queued."""

    priority: int
    retries: int
    failures: int = 0
    state: str = states.QUEUED
    cancel_requested: bool = False


class LifeMachine(RuleBasedStateMachine):
    """``line``: the ids of those that wait, in their order; ``runs``: as in Stage."""

    numbers = count()

    def __init__(self):
        super().__init__()
        transaction.abort()
        self.number = next(self.numbers)
        self.stage = STAGES[self.number] = Stage()
        self.scheduler = TransactionalScheduler(settings=Settings(concurrency=SLOTS))
        self.tasks = {}
        self.line = []
        self.runs = []
        self.paused = False

    def teardown(self):
        for task_id in self.tasks:
            self.scheduler.cancel(task_id)
        for order in list(self.stage.runs.values()):
            order.put(False)
        self.scheduler.wait_all(TIMEOUT)
        del STAGES[self.number]

    @rule(priority=st.integers(0, 1), retries=st.integers(0, 1))
    def schedule(self, priority, retries):
        options = Options(priority=priority, retries=retries, backoff=0)
        call = capture_call(play, (self.number,), {})
        task_id = self.scheduler.add_task(call, options)
        transaction.commit()
        self.tasks[task_id] = Expected(priority, retries)
        self.line.append(task_id)
        self.settle()

    @precondition(lambda self: self.runs)
    @rule(number=ANY, fails=st.booleans())
    def end(self, number, fails):
        run = self.runs.pop(number % len(self.runs))
        task_id, _ = run
        task = self.tasks[task_id]
        if fails and task.failures < task.retries and not task.cancel_requested:
            task.failures += 1
            task.state = states.RETRYING
            self.line.append(task_id)
        elif fails:
            task.state = states.FAILED
        elif task.cancel_requested:
            task.state = states.CANCELLED
        else:
            task.state = states.SUCCEEDED
        with self.stage.changed:
            self.stage.runs[run].put(fails)
            assert self.stage.changed.wait_for(
                lambda: run not in self.stage.runs, TIMEOUT
            )
        self.settle()

    @precondition(lambda self: self.tasks)
    @rule(number=ANY)
    def cancel(self, number):
        task_id = list(self.tasks)[number % len(self.tasks)]
        task = self.tasks[task_id]
        if task_id in self.line:
            self.line.remove(task_id)
            task.state = states.CANCELLED
        elif task.state == states.RUNNING:
            task.cancel_requested = True
        self.scheduler.cancel(task_id)
        self.settle()

    @precondition(lambda self: self.tasks)
    @rule(number=ANY)
    def retry(self, number):
        task_id = list(self.tasks)[number % len(self.tasks)]
        task = self.tasks[task_id]
        if task.state in (states.FAILED, states.CANCELLED):
            self.scheduler.retry(task_id)
            task.state = states.QUEUED
            task.failures = 0
            task.cancel_requested = False
            self.line.append(task_id)
        else:
            with pytest.raises(IllegalTransition):
                self.scheduler.retry(task_id)
        self.settle()

    @rule(paused=st.booleans())
    def pause_or_resume(self, paused):
        self.paused = paused
        (self.scheduler.pause if paused else self.scheduler.resume)("default")
        self.settle()

    def settle(self):
        """Wait until as many run as the model expects, and compare."""
        free = 0 if self.paused else SLOTS - len(self.runs)
        expected = len(self.runs) + min(free, len(self.line))
        with self.stage.changed:
            assert self.stage.changed.wait_for(
                lambda: (
                    len(self.stage.runs) == expected
                    and set(self.runs) <= set(self.stage.runs)
                ),
                TIMEOUT,
            )
            begun = [run for run in self.stage.runs if run not in self.runs]
        self.nobody_overtakes({task_id for task_id, _ in begun})
        for run in sorted(begun, key=lambda run: self.line.index(run[0])):
            self.runs.append(run)
            self.tasks[run[0]].state = states.RUNNING
        self.line = [
            task_id for task_id in self.line if self.tasks[task_id].state != "running"
        ]
        self.wait_for_the_records()

    def nobody_overtakes(self, begun):
        """Those that have begun are the first ones of their priority."""
        for priority in (0, 1):
            line = [i for i in self.line if self.tasks[i].priority == priority]
            number = len(begun.intersection(line))
            assert begun.issuperset(line[:number])

    def wait_for_the_records(self):
        """The thread of a task that has ended may still be about to note it."""
        known = {task_id: task.state for task_id, task in self.tasks.items()}
        expected = (known, len(self.runs), len(self.line))
        deadline = monotonic() + TIMEOUT
        while self.found() != expected:
            assert monotonic() < deadline, (self.found(), expected)
            Event().wait(0.001)

    def found(self):
        queue, _mail = self.scheduler.queues()
        found = {r.id: r.state for r in self.scheduler.records(limit=None)}
        return found, queue.running, queue.waiting


TestLifeMachine = LifeMachine.TestCase
TestLifeMachine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None
)
