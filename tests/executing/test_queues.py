"""Queues in any order of events: who is next, and how many run at once.

Without threads: what happens is drawn at random, and compared with a model.
"""

from collective.background.exceptions import IllegalTransition
from collective.background.executing.queues import AGEING
from collective.background.executing.queues import Queue
from collective.background.model import states
from collective.background.model.options import Options
from dataclasses import dataclass
from dataclasses import field
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle
from hypothesis.stateful import consumes
from hypothesis.stateful import invariant
from hypothesis.stateful import multiple
from hypothesis.stateful import precondition
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
from itertools import count

import pytest


SLOTS = 2
PRIORITIES = st.integers(min_value=-2, max_value=2)


@dataclass
class Task:
    """What a queue needs of a task, and its state."""

    options: Options
    id: int = field(default_factory=count().__next__)
    state: str = states.QUEUED

    def become(self, state):
        states.check_transition(self.id, self.state, state)
        self.state = state


class QueueMachine(RuleBasedStateMachine):
    """The model is a list of what waits, in the order of its coming."""

    waiting = Bundle("waiting")
    running = Bundle("running")
    ended = Bundle("ended")

    def __init__(self):
        super().__init__()
        self.queue = Queue("default", SLOTS)
        self.line = []
        self.starts = 0

    @rule(target=waiting, priority=PRIORITIES)
    def schedule(self, priority):
        task = Task(Options(priority=priority))
        self.queue.push(task)
        self.line.append(task)
        return task

    @rule(target=waiting, task=consumes(ended))
    def retry(self, task):
        task.become(states.QUEUED)
        self.queue.push(task)
        self.line.append(task)
        return task

    @rule(target=ended, task=waiting)
    def cancel(self, task):
        """Whether it still waits, or has been started meanwhile."""
        self.queue.discard(task)
        if task not in self.line:
            return multiple()
        self.line.remove(task)
        task.become(states.CANCELLED)
        return task

    @rule(target=running)
    def start(self):
        may_start = self.queue.can_start()
        task = self.queue.pop()
        assert (task is not None) == may_start
        if task is None:
            return multiple()
        self.starts += 1
        if self.starts % AGEING:
            first = max(self.line, key=lambda waiting: waiting.options.priority)
        else:  # so that nobody starves
            first = self.line[0]
        assert task is first
        self.line.remove(task)
        task.become(states.RUNNING)
        self.queue.threads.add(task.id)
        return task

    @rule(
        target=ended,
        task=consumes(running),
        state=st.sampled_from([states.FAILED, states.CANCELLED, states.LOST]),
    )
    def end(self, task, state):
        task.become(state)
        self.queue.threads.discard(task.id)
        return task

    @rule(task=consumes(running))
    def succeed(self, task):
        task.become(states.SUCCEEDED)
        self.queue.threads.discard(task.id)

    @rule()
    def pause(self):
        self.queue.paused = True

    @precondition(lambda self: self.queue.paused)
    @rule()
    def resume(self):
        self.queue.paused = False

    @invariant()
    def never_more_than_its_slots(self):
        assert len(self.queue.threads) <= SLOTS

    @invariant()
    def starts_whenever_it_may(self):
        """Nothing waits in a queue that has a free slot, and is not paused."""
        free = len(self.queue.threads) < SLOTS and not self.queue.paused
        assert self.queue.can_start() == (free and bool(self.line))

    @invariant()
    def tells_how_it_is(self):
        status = self.queue.status()
        assert status.waiting == len(self.queue) == len(self.line)
        assert status.running == len(self.queue.threads)
        assert status.paused == self.queue.paused

    @invariant()
    def what_waits_is_queued(self):
        assert {task.state for task in self.line} <= {states.QUEUED}


TestQueueMachine = QueueMachine.TestCase


@given(st.lists(PRIORITIES, max_size=AGEING - 1))
def test_higher_priorities_first_and_in_order_within_each(priorities):
    queue = Queue("default", len(priorities) + 1)
    tasks = [Task(Options(priority=priority)) for priority in priorities]
    for task in tasks:
        queue.push(task)
    started = []
    while (task := queue.pop()) is not None:
        started.append(task)
    assert started == sorted(tasks, key=lambda task: -task.options.priority)


@given(st.lists(PRIORITIES, max_size=30), st.integers(min_value=-100, max_value=100))
def test_nobody_starves_while_higher_ones_keep_coming(before, priority):
    """Of those that came later, some pass it, but not without an end."""
    queue = Queue("default", 1)
    for other in before:
        queue.push(Task(Options(priority=other)))
    task = Task(Options(priority=priority))
    queue.push(task)
    starts = 0
    started = None
    while started is not task:
        queue.push(Task(Options(priority=priority + 1)))
        started = queue.pop()
        starts += 1
    assert starts <= AGEING * (len(before) + 1)


@given(st.lists(PRIORITIES, max_size=10 * AGEING))
def test_the_order_is_kept_within_each_priority(priorities):
    queue = Queue("default", len(priorities) + 1)
    tasks = [Task(Options(priority=priority)) for priority in priorities]
    for task in tasks:
        queue.push(task)
    started = [queue.pop() for _ in tasks]
    for priority in set(priorities):
        of_priority = [t for t in tasks if t.options.priority == priority]
        assert [t for t in started if t.options.priority == priority] == of_priority


@given(st.lists(st.sampled_from(states.STATES)))
def test_only_what_has_not_succeeded_is_left_after_it_has_ended(wanted):
    """In any walk through the states, and only to be queued again."""
    task = Task(Options())
    for state in wanted:
        before = task.state
        try:
            task.become(state)
        except IllegalTransition:
            assert task.state == before
            continue
        assert before != states.SUCCEEDED
        assert before not in states.FINISHED or state == states.QUEUED


def test_discarding_what_does_not_wait_changes_nothing():
    queue = Queue("default", 1)
    task = Task(Options())
    queue.push(task)
    queue.discard(Task(Options()))
    queue.discard(Task(Options(priority=7)))
    assert queue.pop() is task


@pytest.mark.parametrize("slots", [1, 3])
def test_a_full_queue_starts_nothing(slots):
    queue = Queue("default", slots)
    for _ in range(slots + 1):
        queue.push(Task(Options()))
    for _ in range(slots):
        queue.threads.add(queue.pop().id)
    assert queue.pop() is None
