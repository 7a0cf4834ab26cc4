"""Locks and limits in any order of events, as the queues of a process have them.

Without threads: what happens is drawn at random, and looked at by what has to hold.
"""

from collections import Counter
from collective.background.executing.locks import Locks
from collective.background.executing.queues import AGEING
from collective.background.executing.queues import Job
from collective.background.executing.turns import Queues
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import precondition
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
from itertools import count

import pytest
import sys


class Source:
    """A scheduler, as queues see it."""


MEMORY, SITE = Source(), Source()
SLOTS = {"default": 3, "imports": 2}
LIMITS = {("default", "/a"): 1, ("default", "/b"): 2}  # others have none
IDS = map(str, count())

QUEUES = st.sampled_from(sorted(SLOTS))
SOURCES = st.sampled_from([MEMORY, SITE])
SITES = st.sampled_from(["/a", "/b"])
LOCKS = st.lists(st.sampled_from("xyz"), unique=True).map(tuple)


def make_job(queue="default", source=MEMORY, *, priority=0, **values):
    return Job(
        id=next(IDS),
        queue=queue,
        priority=priority,
        source=source,
        run=lambda: None,
        refused=lambda error: None,
        **values,
    )


def place_of(job):
    """Where limits count."""
    return job.queue, job.source, job.site


def lane_of(job):
    """Those of which the older goes first."""
    has_turns = job.limit != 1
    return *place_of(job), job.priority, job.user if has_turns else None


def keys_of(job):
    return {(job.source, job.site, text) for text in job.locks}


class LocksMachine(RuleBasedStateMachine):
    """``waiting``: jobs, in the order of their coming; ``running``."""

    def __init__(self):
        super().__init__()
        self.queues = Queues(SLOTS, Locks())
        self.waiting = []
        self.running = []
        self.paused = set()
        self.stopped = set()
        self.starts = Counter()

    @initialize(ages=st.permutations(range(1000)))
    def have_ages(self, ages):
        self.ages = iter(ages)

    @rule(
        queue=QUEUES,
        source=SOURCES,
        site=SITES,
        user=st.sampled_from("uv"),
        priority=st.integers(min_value=0, max_value=1),
        locks=LOCKS,
    )
    def schedule(self, queue, source, site, user, priority, locks):
        job = make_job(
            queue,
            source,
            site=site,
            user=user,
            priority=priority,
            locks=locks,
            age=next(self.ages),
            limit=LIMITS.get((queue, site)),
        )
        assert self.queues[queue].push(job) == (source not in self.stopped)
        if source not in self.stopped:
            self.waiting.append(job)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data):
        job = data.draw(st.sampled_from(self.waiting))
        assert self.queues[job.queue].discard(job)
        self.waiting.remove(job)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data):
        """However it ends: its thread does."""
        job = data.draw(st.sampled_from(self.running))
        self.queues[job.queue].end(job)
        self.running.remove(job)
        assert not self.queues[job.queue].discard(job)

    @rule(queue=QUEUES, source=SOURCES)
    def pause(self, queue, source):
        self.queues[queue].pause(source)
        self.paused.add((queue, source))

    @rule(queue=QUEUES, source=SOURCES)
    def resume(self, queue, source):
        self.queues[queue].resume(source)
        self.paused.discard((queue, source))

    @rule()
    def stop(self):
        stopped = self.queues.stop(SITE)
        assert set(stopped) == {job for job in self.waiting if job.source is SITE}
        self.waiting = [job for job in self.waiting if job.source is not SITE]
        self.stopped.add(SITE)

    @rule(name=QUEUES)
    def start(self, name):
        candidates = self.candidates(name)
        job = self.queues[name].pop()
        if len(self.running_in(name)) == SLOTS[name] or not candidates:
            assert job is None
            return
        assert job in candidates
        self.starts[name] += 1
        if self.starts[name] % AGEING:
            assert job.priority == max(each.priority for each in candidates)
        else:
            assert lane_of(job) == lane_of(candidates[0])
        lane = [each for each in candidates if lane_of(each) == lane_of(job)]
        assert job is min(lane, key=lambda each: each.age)
        self.waiting.remove(job)
        self.running.append(job)

    # What has to hold.

    def running_in(self, name):
        return [job for job in self.running if job.queue == name]

    def candidates(self, name):
        """What may start if a slot is free, in the order of its coming."""
        held = set().union(*map(keys_of, self.running))
        standing = [
            job for job in self.waiting if (job.queue, job.source) not in self.paused
        ]
        first = {}
        for job in sorted(standing, key=lambda job: (-job.priority, job.age)):
            for key in keys_of(job):
                first.setdefault(key, job)
        counts = Counter(map(place_of, self.running))
        return [
            job
            for job in standing
            if job.queue == name
            and held.isdisjoint(keys_of(job))
            and all(first[key] is job for key in keys_of(job))
            and (job.limit is None or counts[place_of(job)] < job.limit)
        ]

    @invariant()
    def a_lock_has_one_holder(self):
        held = Counter(key for job in self.running for key in keys_of(job))
        assert set(held.values()) <= {1}

    @invariant()
    def limits_are_kept(self):
        counts = Counter(map(place_of, self.running))
        for (queue, _, site), number in counts.items():
            assert number <= LIMITS.get((queue, site), SLOTS[queue])

    @invariant()
    def starts_whenever_it_may(self):
        for name, queue in self.queues.items():
            is_free = len(self.running_in(name)) < SLOTS[name]
            assert queue.can_start() == (is_free and bool(self.candidates(name)))

    @invariant()
    def tells_how_many_wait_and_run(self):
        for name, queue in self.queues.items():
            total = queue.total()
            assert total.waiting == sum(job.queue == name for job in self.waiting)
            assert total.running == len(self.running_in(name))

    def teardown(self):
        """Nobody starves: once all may move, all come to their turn."""
        for name, source in list(self.paused):
            self.resume(name, source)
        while self.waiting or self.running:
            before = len(self.waiting) + len(self.running)
            for name in SLOTS:
                self.start(name)
            for job in self.running:
                self.queues[job.queue].end(job)
            self.running = []
            assert len(self.waiting) < before
        assert self.queues.are_idle()
        locks = self.queues.locks
        assert not (locks._entries or locks._lines or locks._held)


TestLocksMachine = LocksMachine.TestCase
TestLocksMachine.settings = settings(max_examples=40, deadline=None)


@pytest.fixture
def queues():
    return Queues(SLOTS, Locks())


def push(queues, *jobs):
    for job in jobs:
        queues[job.queue].push(job)
    return jobs


def start(queues):
    """Return what starts now."""
    return [job for _, job in queues.start()]


def test_all_locks_are_taken_at_once(queues):
    both, x, y = push(
        queues,
        make_job(locks=("x", "y")),
        make_job(locks=("x",)),
        make_job("imports", locks=("y",)),
    )
    assert start(queues) == [both]
    queues["default"].end(both)
    assert start(queues) == [x, y]


def test_who_is_not_the_first_in_each_line_takes_none(queues):
    x, both, y = push(
        queues,
        make_job(locks=("x",)),
        make_job(locks=("x", "y")),
        make_job("imports", locks=("y",)),
    )
    assert start(queues) == [x]
    queues["default"].end(x)
    assert start(queues) == [both]
    queues["default"].end(both)
    assert start(queues) == [y]


def test_a_higher_one_passes_who_has_not_started(queues):
    lower, higher = push(
        queues, make_job(locks=("x",)), make_job(locks=("x",), priority=1)
    )
    assert start(queues) == [higher]
    queues["default"].end(higher)
    assert start(queues) == [lower]


def test_locks_are_those_of_a_site(queues):
    jobs = push(
        queues,
        make_job(locks=("x",), site="/a"),
        make_job(locks=("x",), site="/b"),
        make_job(locks=("x",), site="/a", source=SITE),
    )
    assert start(queues) == list(jobs)


def test_a_path_is_only_a_text(queues):
    jobs = push(queues, make_job(locks=("/a",)), make_job(locks=("/a/b",)))
    assert start(queues) == list(jobs)


def test_what_is_paused_stands_in_no_line(queues):
    queues["default"].pause(MEMORY)
    paused, other = push(
        queues, make_job(locks=("x",)), make_job("imports", locks=("x",))
    )
    assert start(queues) == [other]
    queues["default"].resume(MEMORY)
    assert start(queues) == []
    queues["imports"].end(other)
    assert start(queues) == [paused]


def test_what_could_start_is_taken_out_when_nothing_can(queues):
    """One after the other, in whatever queues."""
    jobs = push(
        queues,
        make_job("imports", locks=("x",)),
        make_job(locks=("x", "y")),
        make_job("imports", locks=("y",)),
        make_job(),
    )
    queues["default"].pause(SITE)
    push(queues, make_job(source=SITE))
    assert set(queues.take_all()) == set(jobs)
    assert queues.are_idle() and not queues.can_start()


# What it costs.


def steps(function):
    """Return how many lines of Python are executed."""
    lines = 0

    def trace(frame, event, arg):
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return lines


def cost_of_each(number, users=1, locks=0):
    """Return how many steps a job costs, from its coming to its end."""
    queue = Queues({"default": 2}, Locks())["default"]
    jobs = [
        make_job(age=age, user=age % users, locks=(f"{age % locks}",) if locks else ())
        for age in range(number)
    ]

    def work():
        for job in jobs:
            queue.push(job)
        while (job := queue.pop()) is not None:
            queue.end(job)

    return steps(work) / number


@pytest.mark.parametrize("kind", [{}, {"users": 50}, {"locks": 10}])
def test_cost_does_not_grow_with_how_many_wait(kind):
    assert cost_of_each(1000, **kind) < 1.05 * cost_of_each(100, **kind)


def test_a_lock_costs_only_some_more_steps():
    assert cost_of_each(1000, locks=10) < 4 * cost_of_each(1000)
