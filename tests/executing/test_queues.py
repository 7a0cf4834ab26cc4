"""Queues in any order of events: who is next, and how many run at once.

Without threads: what happens is drawn at random, and compared with a model.
"""

from collections import Counter
from collective.background.exceptions import IllegalTransition
from collective.background.executing.locks import Locks
from collective.background.executing.queues import AGEING
from collective.background.executing.queues import Job
from collective.background.executing.queues import Queue
from collective.background.model import states
from gc import collect
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle
from hypothesis.stateful import consumes
from hypothesis.stateful import invariant
from hypothesis.stateful import multiple
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
from itertools import count
from itertools import cycle
from itertools import product
from math import inf
from weakref import ref

import pytest


SLOTS = 2
PRIORITIES = st.integers(min_value=-2, max_value=2)
IDS = map(str, count())


class Source:
    """A scheduler, as a queue sees it."""


MEMORY, SITE, OTHER_SITE, NOBODY = (Source() for _ in "1234")
SOURCES = st.sampled_from([MEMORY, SITE, OTHER_SITE])
USERS = st.sampled_from("ab")


def make_queue(slots):
    return Queue("default", slots, Locks())


def make_job(priority=0, source=MEMORY, **values):
    return Job(
        id=next(IDS),
        queue="default",
        priority=priority,
        source=source,
        run=lambda: None,
        refused=lambda error: None,
        **values,
    )


def lane_of(job):
    """What has turns of its own."""
    return job.priority, job.source, job.user


class Task:
    """A task as its scheduler has it: what the queue knows of it, and its state."""

    def __init__(self, job):
        self.job = job
        self.state = states.QUEUED

    def become(self, state):
        states.check_transition(self.job.id, self.state, state)
        self.state = state


class QueueMachine(RuleBasedStateMachine):
    """The model is a list of what waits, in the order of its coming; and one of who has
    something that waits, in the order of their turns.
    """

    waiting = Bundle("waiting")
    running = Bundle("running")
    ended = Bundle("ended")

    def __init__(self):
        super().__init__()
        self.queue = make_queue(SLOTS)
        self.line = []
        self.turns = []
        self.at_work = []
        self.paused = set()
        self.stopped = set()
        self.starts = 0

    def wait(self, task):
        is_stopped = task.job.source in self.stopped
        assert self.queue.push(task.job) == (not is_stopped)
        if is_stopped:
            return multiple()
        self.line.append(task)
        if lane_of(task.job) not in self.turns:
            self.turns.append(lane_of(task.job))
        return task

    def leave_line(self, task):
        self.line.remove(task)
        lane = lane_of(task.job)
        if lane not in map(lane_of, [task.job for task in self.line]):
            self.turns.remove(lane)

    def free_line(self):
        """What waits, and neither is paused nor has stopped."""
        return [task for task in self.line if task.job.source not in self.paused]

    @rule(target=waiting, priority=PRIORITIES, source=SOURCES, user=USERS)
    def schedule(self, priority, source, user):
        return self.wait(Task(make_job(priority, source, user=user)))

    @rule(target=waiting, task=consumes(ended))
    def retry(self, task):
        task.become(states.QUEUED)
        return self.wait(task)

    @rule(target=ended, task=waiting)
    def cancel(self, task):
        """Whether it still waits, or has been started meanwhile."""
        assert self.queue.discard(task.job) == (task in self.line)
        if task not in self.line:
            return multiple()
        self.leave_line(task)
        task.become(states.CANCELLED)
        return task

    @rule(target=running)
    def start(self):
        may_start = self.queue.can_start()
        job = self.queue.pop()
        assert (job is not None) == may_start
        if job is None:
            return multiple()
        self.starts += 1
        line = self.free_line()
        if self.starts % AGEING:
            highest = max(task.job.priority for task in line)
            lanes = [lane for lane in self.turns if lane[0] == highest]
            of_lanes = ([t for t in line if lane_of(t.job) == lane] for lane in lanes)
            first = next(filter(None, of_lanes))[0]
        else:  # so that nobody starves
            first = line[0]
        assert job is first.job
        self.turns.remove(lane_of(job))
        self.turns.append(lane_of(job))
        self.leave_line(first)
        first.become(states.RUNNING)
        self.at_work.append(first)
        return first

    @rule(
        target=ended,
        task=consumes(running),
        state=st.sampled_from([states.FAILED, states.CANCELLED, states.LOST]),
    )
    def end(self, task, state):
        task.become(state)
        self.leave(task)
        return task

    @rule(task=consumes(running))
    def succeed(self, task):
        task.become(states.SUCCEEDED)
        self.leave(task)

    def leave(self, task):
        self.queue.end(task.job)
        self.at_work.remove(task)

    @rule(source=SOURCES)
    def pause(self, source):
        self.queue.pause(source)
        self.paused.add(source)

    @rule(source=SOURCES)
    def resume(self, source):
        self.queue.resume(source)
        self.paused.discard(source)

    @rule(source=st.just(OTHER_SITE))
    def stop(self, source):
        waited = [task for task in self.line if task.job.source is source]
        assert self.queue.stop(source) == [task.job for task in waited]
        self.stopped.add(source)
        for task in waited:
            self.leave_line(task)

    @invariant()
    def never_more_than_its_slots(self):
        assert len(self.queue.threads) <= SLOTS

    @invariant()
    def starts_whenever_it_may(self):
        """Nothing waits in a queue with a free slot, unless it is to stand still."""
        is_free = len(self.at_work) < SLOTS
        assert self.queue.can_start() == (is_free and bool(self.free_line()))

    @invariant()
    def tells_each_source_and_all_together_how_it_is(self):
        for source in (MEMORY, SITE, OTHER_SITE, NOBODY):
            status = self.queue.status(source)
            assert status.waiting == sum(t.job.source == source for t in self.line)
            assert status.running == sum(t.job.source == source for t in self.at_work)
            assert status.paused == (source in self.paused)
            assert status.slots == SLOTS
        total = self.queue.total()
        assert (total.waiting, total.running) == (len(self.line), len(self.at_work))
        assert total.paused == bool(self.paused)
        assert total.slots == SLOTS

    @invariant()
    def what_waits_is_queued(self):
        assert {task.state for task in self.line} <= {states.QUEUED}


TestQueueMachine = QueueMachine.TestCase


def make_jobs(queue, priorities, limit=None):
    """Let a job of each priority wait, of two sources by turns; return them."""
    whose = cycle(product([MEMORY, SITE], "ab"))
    jobs = [
        make_job(priority, source, user=user, limit=limit)
        for priority, (source, user) in zip(priorities, whose, strict=False)
    ]
    for job in jobs:
        queue.push(job)
    return jobs


@given(st.lists(PRIORITIES, max_size=AGEING - 1))
def test_higher_priorities_first_and_in_order_within_each(priorities):
    """All are of one user."""
    queue = make_queue(len(priorities) + 1)
    jobs = [make_job(priority, age=age) for age, priority in enumerate(priorities)]
    for job in reversed(jobs):
        queue.push(job)
    started = []
    while (job := queue.pop()) is not None:
        started.append(job)
    assert started == sorted(jobs, key=lambda job: -job.priority)


@given(st.lists(st.sampled_from("abc"), max_size=5 * AGEING))
def test_slots_go_round_those_who_have_something_due(users):
    """Whoever has more has no more starts than others, but for those by age."""
    queue = make_queue(len(users) + 1)
    for user in users:
        queue.push(make_job(user=user))
    left, starts = Counter(users), Counter()
    for start in range(1, len(users) + 1):
        user = queue.pop().user
        left[user] -= 1
        starts[user] += 1
        of_others = [starts[other] for other in left if left[other]]
        assert starts[user] <= min(of_others, default=inf) + 1 + start // AGEING


def test_a_user_who_comes_in_does_not_wait_for_those_who_have_many():
    queue = make_queue(10)
    for user in "aaaab":
        queue.push(make_job(user=user, site="/one"))
    queue.push(make_job(user="a", site="/two"))
    started = [queue.pop() for _ in range(4)]
    assert [(job.site, job.user) for job in started] == [
        ("/one", "a"),
        ("/one", "b"),
        ("/two", "a"),
        ("/one", "a"),
    ]


@given(st.lists(PRIORITIES, max_size=30), st.integers(min_value=-100, max_value=100))
def test_nobody_starves_while_higher_ones_keep_coming(before, priority):
    """Of those that came later, some pass it, but not without an end."""
    queue = make_queue(1)
    make_jobs(queue, before)
    job = make_job(priority)
    queue.push(job)
    starts = 0
    started = None
    while started is not job:
        queue.push(make_job(priority + 1, SITE))
        started = queue.pop()
        queue.end(started)
        starts += 1
    assert starts <= AGEING * (len(before) + 1)


@given(st.lists(PRIORITIES, max_size=10 * AGEING))
def test_the_order_is_kept_within_each_priority(priorities):
    """Of each user; and for all of them where only one runs at a time."""
    for limit in (None, 1):
        queue = make_queue(1)
        jobs = make_jobs(queue, priorities, limit=limit)
        started = []
        for _ in jobs:
            started.append(queue.pop())
            queue.end(started[-1])
        for priority, source in product(set(priorities), (MEMORY, SITE)):
            wanted = (priority, source)
            expected = [job for job in jobs if (job.priority, job.source) == wanted]
            found = [job for job in started if (job.priority, job.source) == wanted]
            if limit is None:
                for user in "ab":
                    assert [job for job in found if job.user == user] == [
                        job for job in expected if job.user == user
                    ]
            else:
                assert found == expected


@given(st.lists(st.sampled_from(states.STATES)))
def test_only_what_has_not_succeeded_is_left_after_it_has_ended(wanted):
    """In any walk through the states, and only to be queued again."""
    task = Task(make_job())
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
    queue = make_queue(1)
    job = make_job()
    queue.push(job)
    for other in (make_job(), make_job(priority=7), make_job(source=SITE)):
        assert not queue.discard(other)
    assert queue.pop() is job


@pytest.mark.parametrize("slots", [1, 3])
def test_a_full_queue_starts_nothing(slots):
    queue = make_queue(slots)
    make_jobs(queue, [0] * (slots + 1))
    for _ in range(slots):
        assert queue.pop() is not None
    assert queue.pop() is None


def test_a_paused_source_is_passed_by_the_others():
    queue = make_queue(2)
    paused, other = make_job(9, SITE), make_job(0, OTHER_SITE)
    queue.push(paused)
    queue.push(other)
    queue.pause(SITE)
    assert queue.pop() is other
    assert queue.pop() is None
    queue.resume(SITE)
    assert queue.pop() is paused


def test_a_source_that_is_gone_is_forgotten():
    """Sites come and go, and so do schedulers of tests."""
    queue = make_queue(1)
    source = Source()
    queue.pause(source)
    queue.stop(source)
    reference = ref(source)
    del source
    collect()
    assert reference() is None
    assert not queue.total().paused
