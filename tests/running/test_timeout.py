"""``timeout``: tasks that have run for too long stop at a cancellation point."""

from collective.background import current_task
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.exceptions import TaskTimedOut
from collective.background.running import retrying
from helpers import finished
from helpers import TIMEOUT

import pytest
import transaction


@pytest.fixture
def scheduler(make_scheduler):
    return make_scheduler(concurrency=1)


@pytest.fixture
def take(clock):
    """Return a function that takes so many seconds."""

    def take(seconds):
        clock.now += seconds

    return take


def check():
    current_task().check_cancelled()


def report():
    current_task().progress(1)


def track():
    list(current_task().track([1]))


class TestTheTask:
    @pytest.mark.parametrize("look", [check, report, track])
    def test_fails_at_its_next_cancellation_point(self, scheduler, take, look):
        done = []

        def work():
            look()
            take(11)
            done.append("what takes long")
            look()
            done.append("more")

        record = finished(using(timeout=10).schedule(work))
        assert record.state == "failed"
        assert record.error.type.endswith(".TaskTimedOut")
        assert record.error.message == "the task has run for longer than 10 seconds"
        assert done == ["what takes long"]

    def test_its_exception(self, scheduler, take):
        def work():
            take(0.5)
            check()

        task_id = finished(using(timeout=0.25).schedule(work)).id
        _, exception = scheduler.get_result(task_id)
        assert type(exception) is TaskTimedOut

    def test_goes_on_as_long_as_it_has_time(self, scheduler, take):
        def work():
            take(9)
            check()

        assert finished(using(timeout=10).schedule(work)).state == "succeeded"

    def test_succeeds_when_it_does_not_look(self, scheduler, take):
        assert finished(using(timeout=10).schedule(take, 11)).state == "succeeded"

    def test_has_no_limit_without_the_option(self, scheduler, take):
        def work():
            take(1e9)
            check()
            return "done"

        record = finished(schedule(work))
        assert record.state == "succeeded"

    def test_is_undone(self, folder, take):
        def work(folder):
            folder.title = "not to be seen"
            take(11)
            check()

        assert finished(using(timeout=10).schedule(work, folder)).state == "failed"
        assert folder.title == "A folder"

    def test_that_was_cancelled_as_well_is_cancelled(self, scheduler, take, gate):
        def work():
            gate.task()
            take(11)
            check()

        task_id = using(timeout=10).schedule(work)
        transaction.commit()
        gate.wait()
        scheduler.cancel(task_id)
        gate.open()
        assert scheduler.wait(task_id, TIMEOUT).state == "cancelled"


class TestWhatCounts:
    def test_not_the_time_that_it_waits(self, scheduler, clock):
        task_id = using(timeout=10, delay=1000).schedule(check)
        transaction.commit()
        clock.advance(1000)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_each_attempt_by_itself(self, scheduler, take, monkeypatch):
        monkeypatch.setattr(retrying, "uniform", lambda low, high: 0)
        times = [11, 9]

        def work():
            take(times.pop(0))
            check()

        record = finished(using(timeout=10, retries=1).schedule(work))
        assert record.state == "succeeded"
        assert record.attempts == 2

    def test_retries_may_give_up_on_it(self, scheduler, take):
        def work():
            take(11)
            check()

        options = {"timeout": 10, "retries": 5, "give_up_on": TaskTimedOut}
        record = finished(using(**options).schedule(work))
        assert record.state == "failed"
        assert record.attempts == 1


class TestBatches:
    def test_stop_between_two_chunks_and_keep_what_is_committed(self, scheduler, take):
        """A retry has the same time once more, for the rest."""
        items = []

        def work(item):
            take(4)
            items.append(item)

        batch = using(timeout=10).schedule_batch(work, range(7), size=1)
        record = finished(batch)
        assert record.state == "failed"
        assert record.error.type.endswith(".TaskTimedOut")
        assert record.progress.done == len(items) == 3
        scheduler.retry(record.id)
        assert scheduler.wait(record.id, TIMEOUT).progress.done == 6
        scheduler.retry(record.id)
        assert scheduler.wait(record.id, TIMEOUT).state == "succeeded"
        assert items == list(range(7))

    def test_an_item_that_notices_is_no_failure_of_its_own(self, scheduler, take):
        def work(item):
            take(4)
            check()

        record = finished(using(timeout=10).schedule_batch(work, range(9), size=2))
        assert record.state == "failed"
        assert record.error.type.endswith(".TaskTimedOut")
        assert record.progress.done == 2

    def test_without_the_option_none_stops(self, scheduler, take):
        record = finished(schedule_batch(lambda item: take(1e6), range(3), size=1))
        assert record.state == "succeeded"


class TestHardTimeout:
    """Nobody can stop a thread; so it is obeyed as ``timeout``, and the log tells."""

    def test_the_smaller_one_counts(self, scheduler, take):
        def work():
            take(11)
            check()

        for options in (
            {"hard_timeout": 10},
            {"hard_timeout": 10, "timeout": 20},
            {"hard_timeout": 20, "timeout": 10},
        ):
            record = finished(using(**options).schedule(work))
            assert record.error.type.endswith(".TaskTimedOut")
            assert "longer than 10 seconds" in record.error.message

    def test_one_that_does_not_look_succeeds_and_its_log_says_so(self, scheduler, take):
        record = finished(using(hard_timeout=10).schedule(take, 11))
        assert record.state == "succeeded"
        assert "its hard_timeout is 10 s: a thread can" in record.log[-1]

    def test_nothing_is_said_of_one_in_time(self, scheduler, take):
        assert not finished(using(hard_timeout=10).schedule(take, 9)).log
