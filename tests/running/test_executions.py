"""What a run asks its Execution, and tells it: this is how the database tier has a
task done exactly once."""

from collective.background import current_task
from collective.background.capture.call import capture_batch
from collective.background.capture.call import capture_call
from collective.background.capture.snapshot import capture_snapshot
from collective.background.exceptions import Superseded
from collective.background.model.options import Options
from collective.background.running import retrying
from collective.background.running.runner import run
from collective.background.scheduling.execution import Execution
from collective.background.scheduling.task import Task
from helpers import Voter
from ZEO.Exceptions import ClientDisconnected
from ZODB.POSException import ConflictError

import logging
import pytest
import transaction


@pytest.fixture(autouse=True)
def no_delay(monkeypatch):
    monkeypatch.setattr(retrying, "uniform", lambda low, high: 0)


class Watched(Execution):
    """Notes in which transactions attempts begin, and what is saved.

    ``last``: the number of the last one that may begin. ``known``: what is known
    of a commit in doubt, or an exception.
    """

    last = 1000
    known = None

    def __init__(self, lifecycle, task):
        super().__init__(lifecycle, task)
        self.begun = []
        self.saved = []

    def save_cursor(self, env, end, new_failures):
        self.saved.append((end, [failure.index for failure in new_failures]))

    def was_committed(self):
        if isinstance(self.known, Exception):
            raise self.known
        return self.known

    def begin_attempt(self, env):
        self.begun.append(transaction.get())
        if len(self.begun) > self.last:
            raise Superseded("another instance has it")


@pytest.fixture
def execution_of(scheduler):
    """Return a function that makes the Watched of a Call, with retries."""

    def execution_of(call):
        task = Task(call, capture_snapshot(), None, Options(retries=5), keep=0)
        return Watched(scheduler.lifecycle, task)

    return execution_of


@pytest.fixture
def seen():
    """The transactions of attempts, as the work sees them."""
    return []


class TestBeginAttempt:
    def test_is_called_in_the_transaction_of_each_attempt(self, execution_of, seen):
        def work():
            seen.append(transaction.get())
            if len(seen) < 2:
                raise ConflictError

        execution = execution_of(capture_call(work, (), {}))
        assert run(execution).state == "succeeded"
        assert len(seen) == 2
        assert execution.begun == seen

    def test_and_of_each_chunk(self, execution_of, seen):
        def work(item):
            seen.append(transaction.get())

        execution = execution_of(capture_batch(work, "abc", (), {}, 1))
        assert run(execution).state == "succeeded"
        assert execution.begun == seen

    def test_ends_the_run_before_the_first_line(self, execution_of, seen):
        execution = execution_of(capture_call(lambda: seen.append(1), (), {}))
        execution.last = 0
        ended = run(execution)
        assert (ended.state, ended.superseded, ended.retry_in) == ("failed", True, None)
        assert seen == []
        assert len(execution.begun) == 1

    def test_ends_it_between_two_chunks(self, execution_of, seen):
        def work(item):
            seen.append(item)

        execution = execution_of(capture_batch(work, "abc", (), {}, 1))
        execution.last = 2
        assert run(execution).superseded
        assert seen == ["a", "b"]


class TestCancellationPoints:
    def test_end_a_run_that_was_taken_over(self, execution_of, seen):
        def work():
            execution._task.superseded = True
            current_task().check_cancelled()
            seen.append(1)

        execution = execution_of(capture_call(work, (), {}))
        assert run(execution).superseded
        assert seen == []

    def test_that_is_no_failure_of_an_item(self, execution_of):
        def work(item):
            execution._task.superseded = True
            current_task().check_cancelled()

        execution = execution_of(capture_batch(work, "abc", (), {}, 2))
        assert run(execution).superseded
        assert execution.batch_failures == ()


def test_it_is_one_line_of_the_log(execution_of, caplog):
    execution = execution_of(capture_call(int, (), {}))
    execution.last = 0
    with caplog.at_level(logging.INFO):
        run(execution)
    (line,) = [r for r in caplog.records if "was taken over" in r.getMessage()]
    assert (line.levelname, line.exc_info) == ("WARNING", None)
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


def test_other_ends_are_no_such(execution_of):
    assert not run(execution_of(capture_call(int, ("x",), {}))).superseded
    assert not run(execution_of(capture_call(int, (), {}))).superseded


class TestSaveCursor:
    def test_is_told_what_is_new(self, execution_of):
        def work(item):
            if item in "aef":
                raise ValueError(item)

        execution = execution_of(capture_batch(work, "abcdef", (), {}, 2))
        assert run(execution).state == "succeeded"
        assert execution.saved == [(2, [0]), (4, []), (6, [4, 5])]
        assert [failure.index for failure in execution.batch_failures] == [0, 4, 5]


class Lost(Voter):
    """Loses the answer of the storage, once."""

    def __init__(self):
        super().__init__(lambda: None, "~~~")

    def tpc_finish(self, transaction):
        raise ClientDisconnected("simulated")


class TestWasCommitted:
    @pytest.fixture
    def execution(self, execution_of, seen):
        """Of a batch, whose first commit is in doubt."""

        def work(item):
            if not seen:
                transaction.get().join(Lost())
            seen.append(item)

        return execution_of(capture_batch(work, "ab", (), {}, 1))

    def test_what_is_committed_is_not_done_again(self, execution, seen):
        execution.known = True
        assert run(execution).state == "succeeded"
        assert seen == ["a", "b"]

    def test_what_is_not_is_tried_again(self, execution, seen):
        execution.known = False
        ended = run(execution)
        assert (ended.outage, execution.cursor) == (True, 0)
        assert run(execution).state == "succeeded"
        assert seen == ["a", "a", "b"]

    def test_it_can_be_asked_later(self, execution, seen):
        """By begin_attempt(), when the storage is back."""
        execution.known = ClientDisconnected("still away")
        ended = run(execution)
        assert (ended.outage, ended.state) == (True, "failed")
        assert ended.retry_in is not None
        assert seen == ["a"]
