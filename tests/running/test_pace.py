"""How long a task will still take."""

from collective.background.model.records import Progress
from collective.background.running import pace
from collective.background.running.current import TaskHandle
from collective.background.running.pace import Pace
from collective.background.scheduling.execution import Execution
from types import SimpleNamespace

import pytest


@pytest.fixture
def moments(monkeypatch):
    """The clock; ``now`` is set by the test."""
    moments = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(pace, "monotonic", lambda: moments.now)
    return moments


@pytest.fixture
def left(moments):
    """Return a function: a report some seconds after the last one, and what is left."""
    measured = Pace()

    def left(seconds, done, total=100):
        moments.now += seconds
        return measured.seconds_left(done, total)

    return left


def test_by_what_was_done_so_far(left):
    assert left(0, 0) is None
    assert left(60, 10) == 540
    assert left(60, 20) == 480


def test_only_the_last_reports_count(left):
    """The first items were slow."""
    left(0, 0)
    assert left(100, 1) == 9_900
    for done in range(2, 32):
        found = left(1, done)
    assert found == 69


def test_many_reports_are_not_all_remembered(left):
    left(0, 0, 10_000)
    for done in range(1, 5_001):
        found = left(0.0625, done, 10_000)
    assert found == 312


@pytest.mark.parametrize(
    ("done", "total"), [(0, 100), (100, 100), (5, None), (1e-300, 100)]
)
def test_that_nobody_knows(left, done, total):
    left(0, 0, total)
    assert left(60, done, total) is None


def test_not_before_something_was_measured(left):
    left(0, 0)
    assert left(0.5, 50) is None


def test_what_is_counted_anew_begins_anew(left):
    """Another loop of the same task, or what comes before its first one."""
    left(0, 0)
    assert left(10, 50) == 10
    assert left(0, 0) is None
    assert left(10, 10) == 90
    assert left(10, 11, total=1_000) is None


def test_each_attempt_begins_anew(moments):
    task = SimpleNamespace(
        **dict.fromkeys(("id", "call", "snapshot", "database", "failures")),
        options=SimpleNamespace(timeout=60, hard_timeout=60),
        attempts=1,
        timeline=(),
        began=None,
        progress=Progress(done=50, total=100, seconds_left=7),
        cancel_requested=False,
        superseded=False,
    )
    settings = SimpleNamespace(conflict_attempts=1, polite_wait=0)
    executor = SimpleNamespace(instance="host:1:x")
    execution = Execution(SimpleNamespace(settings=settings, executor=executor), task)
    assert task.progress == Progress(done=50, total=100)
    moments.now += 10
    TaskHandle(execution).progress(60)
    assert task.progress.seconds_left == 40
    execution.repeat(None)
    assert task.progress == Progress(done=60, total=100)
