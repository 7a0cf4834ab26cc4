"""The end of a process, as the scheduler sees it."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import ShuttingDown
from helpers import TIMEOUT
from helpers import Voter
from threading import Event
from threading import Thread

import pytest
import transaction


@pytest.fixture
def scheduler(make_scheduler):
    return make_scheduler(concurrency=1)


@pytest.fixture
def cooperative(gate):
    """A task that stops when it is cancelled."""
    begun = gate.begun

    def cooperative():
        begun.set()
        while True:
            current_task().check_cancelled()
            Event().wait(0.001)

    return cooperative


def run_until_begun(task, gate):
    task_id = schedule(task)
    transaction.commit()
    gate.wait()
    return task_id


class TestRunningTasks:
    def test_one_that_looks_is_cancelled(self, scheduler, gate, cooperative):
        task_id = run_until_begun(cooperative, gate)
        scheduler.drain(TIMEOUT)
        assert scheduler.record(task_id).state == "cancelled"

    def test_one_that_ends_in_time_succeeds(self, scheduler, gate):
        begun = gate.begun

        def finish_when_cancelled():
            begun.set()
            while not get_scheduler().record(current_task().id).cancel_requested:
                Event().wait(0.001)
            return "in time"

        task_id = run_until_begun(finish_when_cancelled, gate)
        scheduler.drain(TIMEOUT)
        assert scheduler.record(task_id).state == "succeeded"
        assert scheduler.get_result(task_id) == ("in time", None)

    def test_one_that_does_not_end_is_lost(self, scheduler, gate, caplog):
        task_id = run_until_begun(gate.task, gate)
        scheduler.drain(0)
        record = scheduler.record(task_id)
        assert record.state == "lost"
        assert record.error.type.endswith("TaskLost")
        assert task_id in caplog.text

    def test_what_a_lost_one_does_later_changes_nothing(self, scheduler, gate, caplog):
        task_id = run_until_begun(gate.task, gate)
        scheduler.drain(0)
        gate.open()
        scheduler.wait_all(TIMEOUT)
        assert scheduler.record(task_id).state == "lost"
        assert "has ended (succeeded), but is recorded as lost" in caplog.text

    def test_the_setting_says_how_long_it_waits(self, make_scheduler, gate):
        scheduler = make_scheduler(drain_timeout=0)
        task_id = run_until_begun(gate.task, gate)
        scheduler.drain()
        assert scheduler.record(task_id).state == "lost"


class TestWaitingTasks:
    def test_are_lost_and_named_in_the_log(self, scheduler, gate, cooperative, caplog):
        runs = []
        run_until_begun(cooperative, gate)
        task_id = using(title="Import of countries").schedule(lambda: runs.append(1))
        transaction.commit()
        scheduler.drain(TIMEOUT)
        record = scheduler.record(task_id)
        assert record.state == "lost"
        assert record.started is None
        assert runs == []
        (line,) = [line for line in caplog.messages if task_id in line]
        assert "'Import of countries' of anonymous" in line
        assert "lost" in line

    def test_do_not_start_in_slots_that_become_free(
        self, make_scheduler, gate, cooperative, until
    ):
        scheduler = make_scheduler(concurrency=2)
        # Or it would be cancelled before it begins, as a running one.
        run_until_begun(gate.task, gate)
        schedule(cooperative), schedule(int)
        transaction.commit()
        until(lambda: scheduler.count(states="running") == 2)
        drain = Thread(target=scheduler.drain, args=(TIMEOUT,))
        drain.start()
        until(lambda: scheduler.queues()[0].running == 1)
        assert scheduler.count(states="queued") == 1
        gate.open()
        drain.join(TIMEOUT)
        found = [record.state for record in scheduler.records()]
        assert found == ["lost", "cancelled", "succeeded"]

    def test_of_a_paused_queue_are_lost_at_once(self, scheduler):
        scheduler.pause("default")
        task_id = schedule(int)
        transaction.commit()
        scheduler.drain(TIMEOUT)
        assert scheduler.record(task_id).state == "lost"


class TestAdmission:
    def test_nothing_can_be_scheduled_any_more(self, scheduler):
        scheduler.drain(0)
        with pytest.raises(ShuttingDown, match="about to stop"):
            schedule(int)

    def test_a_transaction_that_commits_later_is_refused(self, scheduler):
        runs = []
        schedule(lambda: runs.append(1))
        scheduler.drain(0)
        with pytest.raises(ShuttingDown):
            transaction.commit()
        transaction.abort()
        assert runs == []
        assert scheduler.records() == []

    def test_one_that_was_admitted_and_commits_meanwhile_is_lost(self, scheduler, gate):
        """Its data are committed, so that the log must tell of the task."""
        runs = []
        task_id = schedule(lambda: runs.append(1))

        transaction.get().join(Voter(lambda: scheduler.drain(0)))
        transaction.commit()
        assert runs == []
        assert scheduler.record(task_id).state == "lost"

    @pytest.mark.parametrize("state", ["cancelled", "lost"])
    def test_a_retry_is_refused(self, scheduler, state):
        scheduler.pause("default")
        task_id = schedule(int)
        transaction.commit()
        if state == "cancelled":
            scheduler.cancel(task_id)
        scheduler.drain(0)
        with pytest.raises(ShuttingDown):
            scheduler.retry(task_id)
        assert scheduler.record(task_id).state == state

    def test_a_running_task_cannot_schedule(self, scheduler, gate):
        begun = gate.begun

        def work():
            begun.set()
            while not get_scheduler().record(current_task().id).cancel_requested:
                Event().wait(0.001)
            schedule(int)

        task_id = run_until_begun(work, gate)
        scheduler.drain(TIMEOUT)
        record = scheduler.record(task_id)
        assert record.state == "failed"
        assert record.error.type.endswith("ShuttingDown")


def test_draining_twice_does_no_harm(scheduler, gate, cooperative):
    task_id = run_until_begun(cooperative, gate)
    drains = [Thread(target=scheduler.drain, args=(TIMEOUT,)) for _ in range(2)]
    for drain in drains:
        drain.start()
    for drain in drains:
        drain.join(TIMEOUT)
    scheduler.drain(TIMEOUT)
    assert scheduler.record(task_id).state == "cancelled"
