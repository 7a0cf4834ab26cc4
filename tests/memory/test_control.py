"""Cancelling, retrying and removing tasks, in every state."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database.installing import install
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import TaskNotFound
from collective.background.exceptions import WaitTimeout
from collective.background.model.records import Progress
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from threading import Event
from ZODB.POSException import ConflictError
from zope.i18nmessageid import Message

import pytest
import transaction


@pytest.fixture
def one_slot(make_scheduler):
    return make_scheduler(concurrency=1)


@pytest.fixture
def begun(gate):
    """Schedule a task, and wait until it has begun; return its id."""

    def begun(function):
        def task():
            gate.begun.set()
            return function()

        task_id = schedule(task)
        transaction.commit()
        gate.wait()
        return task_id

    return begun


@pytest.fixture
def retrying(scheduler, monkeypatch, until):
    """The id of a task that has conflicted, and waits to be tried again."""
    uniform = "collective.background.running.retrying.uniform"
    monkeypatch.setattr(uniform, lambda low, high: TIMEOUT)

    def conflict():
        raise ConflictError

    task_id = schedule(conflict)
    transaction.commit()
    until(lambda: scheduler.record(task_id).state == "retrying")
    return task_id


def endless():
    """Units of work without an end."""
    while True:
        yield
        Event().wait(0.001)


def check():
    for _ in endless():
        current_task().check_cancelled()


def report_progress():
    for done, _ in enumerate(endless()):
        current_task().progress(done)


def track():
    for _ in current_task().track(endless()):
        pass


class TestCancel:
    def test_a_waiting_task_never_starts(self, one_slot, gate):
        runs = []
        schedule(gate.task)
        task_id = schedule(lambda: runs.append(1))
        transaction.commit()
        gate.wait()
        record = one_slot.cancel(task_id)
        assert record.state == "cancelled"
        assert record.started is None
        assert record.finished is not None
        assert record.attempts == 0
        assert record.error.type.endswith("TaskCancelled")
        assert "before it had begun" in record.error.message
        gate.open()
        one_slot.wait_all(TIMEOUT)
        assert runs == []

    def test_an_uncommitted_one_never_starts(self, scheduler):
        runs = []
        task_id = schedule(lambda: runs.append(1))
        assert scheduler.cancel(task_id).state == "cancelled"
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert runs == []
        assert scheduler.record(task_id).state == "cancelled"

    def test_an_uncommitted_one_is_forgotten_by_an_abort(self, scheduler):
        task_id = schedule(lambda: None)
        scheduler.cancel(task_id)
        transaction.abort()
        assert scheduler.record(task_id) is None

    @pytest.mark.parametrize("work", [check, report_progress, track])
    def test_a_running_one_stops_at_its_next_cancellation_point(
        self, scheduler, begun, work
    ):
        task_id = begun(work)
        record = scheduler.cancel(task_id)
        assert record.cancel_requested
        record = scheduler.wait(task_id, TIMEOUT)
        assert record.state == "cancelled"
        assert record.error.type.endswith("TaskCancelled")

    def test_a_running_one_says_so_until_it_stops(self, scheduler, gate, begun):
        task_id = begun(gate.task)
        scheduler.cancel(task_id)
        record = scheduler.record(task_id)
        assert record.state == "running"
        assert record.cancel_requested

    def test_a_running_one_that_does_not_look_succeeds(self, scheduler, gate, begun):
        task_id = begun(gate.task)
        scheduler.cancel(task_id)
        gate.open()
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_between_two_attempts_it_is_cancelled_without_another(
        self, scheduler, retrying
    ):
        scheduler.cancel(retrying)
        record = scheduler.wait(retrying, TIMEOUT)
        assert record.state == "cancelled"
        assert record.attempts == 2

    def test_a_finished_one_is_left_as_it_is(self, scheduler):
        before = finished(schedule(lambda: None))
        assert scheduler.cancel(before.id) == before
        assert scheduler.record(before.id) == before

    def test_an_unknown_one(self, scheduler):
        with pytest.raises(TaskNotFound, match="unknown"):
            scheduler.cancel("unknown")

    def test_its_result_is_the_reason(self, scheduler):
        task_id = schedule(lambda: None)
        scheduler.cancel(task_id)
        transaction.commit()
        result, exception = scheduler.get_result(task_id)
        assert result is None
        assert "before it had begun" in str(exception)


class TestRetry:
    def test_a_failed_one(self, scheduler):
        outcomes = [ValueError("not yet"), None]

        def work():
            error = outcomes.pop(0)
            if error is not None:
                raise error
            return "done"

        failed = finished(schedule(work))
        assert failed.state == "failed"
        scheduler.retry(failed.id)
        record = scheduler.wait(failed.id, TIMEOUT)
        assert record.state == "succeeded"
        assert record.error is None
        assert record.attempts == 2
        assert record.created == failed.created
        assert record.started > failed.finished
        assert scheduler.get_result(failed.id) == ("done", None)

    def test_a_cancelled_one(self, scheduler):
        runs = []
        task_id = schedule(lambda: runs.append(1))
        scheduler.cancel(task_id)
        transaction.commit()
        scheduler.retry(task_id)
        record = scheduler.wait(task_id, TIMEOUT)
        assert record.state == "succeeded"
        assert not record.cancel_requested
        assert runs == [1]

    def test_one_that_was_cancelled_while_it_ran(self, scheduler, gate, begun):
        def work():
            gate.task()
            current_task().check_cancelled()

        task_id = begun(work)
        scheduler.cancel(task_id)
        gate.open()
        assert scheduler.wait(task_id, TIMEOUT).state == "cancelled"
        scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_again_and_again(self, scheduler):
        def fail():
            raise ValueError

        task_id = finished(schedule(fail)).id
        for attempts in (2, 3, 4):
            scheduler.retry(task_id)
            record = scheduler.wait(task_id, TIMEOUT)
            assert record.state == "failed"
            assert record.attempts == attempts

    def test_its_progress_begins_anew(self, scheduler):
        def fail_half_way():
            current_task().progress(50, 100, "half of it")
            raise ValueError

        record = finished(schedule(fail_half_way))
        assert record.progress.done == 50
        with waiting():
            assert scheduler.retry(record.id).progress == Progress()
            scheduler.cancel(record.id)

    def test_an_uncommitted_cancelled_one_still_waits_for_the_commit(self, scheduler):
        runs = []
        task_id = schedule(lambda: runs.append(1))
        scheduler.cancel(task_id)
        assert scheduler.retry(task_id).state == "queued"
        scheduler.wait_all(TIMEOUT)
        assert runs == []
        finished(task_id)
        assert runs == [1]

    def test_not_a_succeeded_one(self, scheduler):
        task_id = finished(schedule(lambda: None)).id
        with pytest.raises(IllegalTransition, match="is succeeded and cannot become"):
            scheduler.retry(task_id)
        assert scheduler.record(task_id).state == "succeeded"

    def test_not_a_running_one(self, scheduler, gate, begun):
        task_id = begun(gate.task)
        with pytest.raises(IllegalTransition, match="is running and cannot become"):
            scheduler.retry(task_id)

    def test_not_a_waiting_one(self, one_slot, gate):
        schedule(gate.task)
        task_id = schedule(lambda: None)
        transaction.commit()
        gate.wait()
        with pytest.raises(IllegalTransition, match="is queued: it waits already"):
            one_slot.retry(task_id)

    def test_not_one_that_is_forgotten_at_this_moment(self, scheduler, monkeypatch):
        """It would run, and nobody would know of it."""
        task_id = finished(schedule(int, "no number")).id
        task = scheduler.lifecycle.get(task_id)
        scheduler.remove(task_id)
        monkeypatch.setattr(scheduler.lifecycle, "get", lambda id: task)
        with pytest.raises(TaskNotFound):
            scheduler.retry(task_id)
        assert task.state == "failed"

    def test_not_one_between_two_attempts(self, scheduler, retrying):
        with pytest.raises(IllegalTransition, match="is retrying: it waits already"):
            scheduler.retry(retrying)
        scheduler.cancel(retrying)

    def test_an_unknown_one(self, scheduler):
        with pytest.raises(TaskNotFound):
            scheduler.retry("unknown")

    def test_a_batch_goes_on_after_its_last_committed_chunk(self, scheduler):
        seen = []

        def work(item):
            seen.append(item)
            if item == 5 and seen.count(5) == 1:
                get_scheduler().cancel(current_task().id)
                current_task().check_cancelled()

        record = finished(schedule_batch(work, range(8), size=2))
        assert record.state == "cancelled"
        assert record.progress.done == 4
        scheduler.retry(record.id)
        record = scheduler.wait(record.id, TIMEOUT)
        assert record.state == "succeeded"
        assert record.progress.done == record.progress.total == 8
        assert seen == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7]


class TestRemove:
    def test_a_waiting_one_does_not_start(self, one_slot, gate):
        runs = []
        schedule(gate.task)
        task_id = schedule(lambda: runs.append(1))
        transaction.commit()
        gate.wait()
        one_slot.remove(task_id)
        assert one_slot.record(task_id) is None
        gate.open()
        one_slot.wait_all(TIMEOUT)
        assert runs == []

    def test_an_uncommitted_one_does_not_start(self, scheduler):
        runs = []
        task_id = schedule(lambda: runs.append(1))
        scheduler.remove(task_id)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert runs == []
        assert scheduler.records() == []

    def test_a_running_one_is_forgotten_when_it_has_ended(self, scheduler, gate, begun):
        task_id = begun(gate.task)
        scheduler.remove(task_id)
        assert scheduler.record(task_id).cancel_requested
        gate.open()
        scheduler.wait_all(TIMEOUT)
        assert scheduler.record(task_id) is None

    def test_one_between_two_attempts_stops(self, scheduler, retrying):
        scheduler.remove(retrying)
        scheduler.wait_all(TIMEOUT)
        assert scheduler.record(retrying) is None

    @pytest.mark.parametrize("how", ["succeeded", "failed", "cancelled"])
    def test_a_finished_one_is_forgotten(self, scheduler, how):
        def fail():
            raise ValueError

        task_id = schedule(fail if how == "failed" else int)
        if how == "cancelled":
            scheduler.cancel(task_id)
        transaction.commit()
        assert scheduler.wait(task_id, TIMEOUT).state == how
        scheduler.remove(task_id)
        assert scheduler.record(task_id) is None
        assert scheduler.count() == 0


class TestWait:
    def test_returns_the_record(self, scheduler):
        task_id = schedule(lambda: None)
        transaction.commit()
        record = scheduler.wait(task_id, TIMEOUT)
        assert record.id == task_id
        assert record.state == "succeeded"

    def test_a_task_that_takes_longer(self, scheduler, gate, begun):
        task_id = begun(gate.task)
        with pytest.raises(TimeoutError, match=f"task {task_id} .* is still running"):
            scheduler.wait(task_id, 0)

    @pytest.mark.parametrize("tier", ["memory", "database"])
    def test_a_title_is_told_with_its_values(self, site, tier):
        if tier == "database":
            install(site)
            transaction.commit()
        with waiting():
            title = Message("Row ${n}", mapping={"n": 7})
            task_id = using(title=title).schedule(int)
            transaction.commit()
            with pytest.raises(WaitTimeout, match="'Row 7' is still queued"):
                get_scheduler().wait(task_id, 0)
            with pytest.raises(WaitTimeout, match="'Row 7'"):
                get_scheduler().wait_all(0)

    def test_an_unknown_task(self, scheduler):
        with pytest.raises(TaskNotFound):
            scheduler.wait("unknown", TIMEOUT)

    def test_all_of_them_names_what_is_left(self, scheduler, gate):
        using(title="A long one").schedule(gate.task)
        transaction.commit()
        gate.wait()
        with pytest.raises(WaitTimeout, match=r"'A long one' \(running\)"):
            scheduler.wait_all(0)
