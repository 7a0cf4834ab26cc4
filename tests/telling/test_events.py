"""Events tell what happens to a task, and cannot change what becomes of it."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import interfaces
from collective.background import schedule
from collective.background import using
from helpers import finished
from helpers import note_where_they_are
from helpers import TIMEOUT
from plone import api
from threading import current_thread
from ZODB.POSException import ConflictError

import pytest
import transaction


EVENTS = (
    interfaces.ITaskScheduled,
    interfaces.ITaskStarted,
    interfaces.ITaskRetrying,
    interfaces.ITaskRequeued,
    interfaces.ITaskSucceeded,
    interfaces.ITaskFailed,
    interfaces.ITaskCancelled,
    interfaces.ITaskLost,
)


def fail():
    raise ValueError("no")


@pytest.fixture
def events(subscribe):
    """The events of the test: (interface, record), in their order."""
    seen = []

    def listen(interface):
        subscribe(interface, lambda event: seen.append((interface, event.record)))

    for interface in EVENTS:
        listen(interface)
    return seen


def names(events):
    return [interface.__name__ for interface, _ in events]


class TestWhatIsTold:
    def test_of_a_task_that_succeeds(self, scheduler, events):
        task_id = finished(using(title="Import").schedule(int)).id
        scheduler.wait_all(TIMEOUT)
        assert names(events) == ["ITaskScheduled", "ITaskStarted", "ITaskSucceeded"]
        records = [record for _, record in events]
        assert {record.id for record in records} == {task_id}
        assert {record.title for record in records} == {"Import"}
        assert [r.state for r in records] == ["queued", "running", "succeeded"]
        assert [r.attempts for r in records] == [0, 1, 1]

    def test_of_one_that_fails(self, scheduler, events):
        finished(schedule(fail))
        scheduler.wait_all(TIMEOUT)
        assert names(events) == ["ITaskScheduled", "ITaskStarted", "ITaskFailed"]
        assert events[-1][1].error.message == "no"

    def test_of_one_that_is_cancelled_before_it_begins(self, scheduler, events):
        scheduler.cancel(schedule(int))
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert names(events) == ["ITaskScheduled", "ITaskCancelled"]

    def test_of_one_that_is_cancelled_while_it_runs(self, scheduler, events):
        def work():
            get_scheduler().cancel(current_task().id)
            current_task().check_cancelled()

        finished(schedule(work))
        scheduler.wait_all(TIMEOUT)
        assert names(events) == ["ITaskScheduled", "ITaskStarted", "ITaskCancelled"]

    def test_of_one_that_is_lost(self, make_scheduler, gate, events):
        scheduler = make_scheduler(concurrency=1)
        running, waiting = schedule(gate.task), schedule(int)
        transaction.commit()
        gate.wait()
        scheduler.drain(0)
        lost = {r.id for interface, r in events if interface is interfaces.ITaskLost}
        assert lost == {running, waiting}

    def test_of_one_that_is_retried(self, scheduler, events):
        task_id = finished(schedule(fail)).id
        scheduler.wait_all(TIMEOUT)
        del events[:]
        scheduler.retry(task_id)
        scheduler.wait_all(TIMEOUT)
        assert names(events) == ["ITaskRequeued", "ITaskStarted", "ITaskFailed"]

    def test_of_one_that_conflicts(self, scheduler, events):
        """Each of its runs is told of, and not what is repeated at once."""
        conflicts = [ConflictError()] * 4

        def work():
            if conflicts:
                raise conflicts.pop()

        record = finished(schedule(work))
        scheduler.wait_all(TIMEOUT)
        assert record.attempts == 5
        assert names(events) == [
            "ITaskScheduled",
            "ITaskStarted",
            "ITaskRetrying",
            "ITaskStarted",
            "ITaskRetrying",
            "ITaskStarted",
            "ITaskSucceeded",
        ]

    def test_of_one_that_is_tried_again_after_an_error(self, scheduler, events):
        failures = [1]

        def work():
            if failures:
                failures.pop()
                raise ValueError("not yet")

        finished(using(retries=1, backoff=0).schedule(work))
        scheduler.wait_all(TIMEOUT)
        assert names(events) == [
            "ITaskScheduled",
            "ITaskStarted",
            "ITaskRetrying",
            "ITaskStarted",
            "ITaskSucceeded",
        ]
        record = events[2][1]
        assert record.state == "retrying"
        assert record.attempts == 1
        assert record.error.message == "not yet"
        assert record.finished is None

    def test_an_aborted_one_was_only_scheduled(self, scheduler, events):
        schedule(int)
        transaction.abort()
        scheduler.wait_all(TIMEOUT)
        assert names(events) == ["ITaskScheduled"]

    def test_in_which_thread(self, scheduler, subscribe):
        """Of scheduling in the caller's, of the rest in the task's."""
        threads = []
        for interface in EVENTS:
            subscribe(interface, lambda event: threads.append(current_thread().name))
        task_id = finished(schedule(int)).id
        scheduler.wait_all(TIMEOUT)
        of_task = f"background-default-{task_id}"
        assert threads == [current_thread().name, of_task, of_task]


class TestMetricsThatRaise:
    @pytest.fixture
    def metrics(self, functional, provide):
        """Those of an add-on, which do not work."""

        class Metrics:
            def add(self, record):
                raise RuntimeError("broken metrics")

        provide(Metrics(), interfaces.IMetrics)

    def test_change_nothing(self, scheduler, metrics, caplog, events):
        """The task starts, its events are sent, and the log has the error."""
        assert finished(schedule(int)).state == "succeeded"
        scheduler.wait_all(TIMEOUT)
        assert "broken metrics" in caplog.text
        assert names(events) == ["ITaskScheduled", "ITaskStarted", "ITaskSucceeded"]


class TestSubscribersThatRaise:
    @pytest.fixture
    def break_at(self, subscribe):
        def break_at(interface, error):
            def broken(event):
                raise error

            subscribe(interface, broken)

        return break_at

    @pytest.mark.parametrize(
        ("interface", "function", "state"),
        [
            (interfaces.ITaskStarted, int, "succeeded"),
            (interfaces.ITaskSucceeded, int, "succeeded"),
            (interfaces.ITaskFailed, fail, "failed"),
        ],
    )
    def test_change_nothing(
        self, scheduler, break_at, caplog, interface, function, state
    ):
        """What they raise is in the log."""
        break_at(interface, RuntimeError("a broken subscriber"))
        assert finished(schedule(function)).state == state
        scheduler.wait_all(TIMEOUT)
        assert "a broken subscriber" in caplog.text
        assert finished(schedule(function)).state == state

    def test_do_not_hinder_cancelling(self, scheduler, break_at):
        break_at(interfaces.ITaskCancelled, RuntimeError("a broken subscriber"))
        task_id = schedule(int)
        assert scheduler.cancel(task_id).state == "cancelled"
        transaction.commit()

    def test_at_scheduling_reach_the_caller_and_nothing_is_scheduled(
        self, scheduler, break_at
    ):
        runs = []
        break_at(interfaces.ITaskScheduled, RuntimeError("not now"))
        with pytest.raises(RuntimeError, match="not now"):
            schedule(lambda: runs.append(1))
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert runs == []
        assert scheduler.count() == 0

    @pytest.mark.parametrize(
        ("interface", "state"),
        [
            (interfaces.ITaskStarted, "failed"),
            (interfaces.ITaskSucceeded, "succeeded"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_leave_no_task_running_even_with_system_exit(
        self, make_scheduler, break_at, interface, state
    ):
        scheduler = make_scheduler(concurrency=1)
        break_at(interface, SystemExit("a very broken subscriber"))
        assert finished(schedule(int)).state == state
        scheduler.wait_all(TIMEOUT)
        assert scheduler.queues()[0].running == 0

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_hinder_nothing_that_follows_even_with_system_exit(
        self, scheduler, break_at
    ):
        """A task that waits for this one starts, and so does its callback."""
        break_at(interfaces.ITaskSucceeded, SystemExit("a very broken subscriber"))
        told = []
        before = using(on_success=lambda record: told.append(record)).schedule(int)
        after = using(after=before).schedule(int)
        assert finished(after).state == "succeeded"
        scheduler.wait_all(TIMEOUT)
        assert [record.id for record in told] == [before]


class TestWhereSubscribersAre:
    """In both tiers the same; see also the tests of the database."""

    @pytest.fixture
    def seen(self, subscribe):
        return note_where_they_are(subscribe)

    def test_in_the_site_and_have_the_result(self, scheduler, folder, seen):
        finished(schedule(len, "four"))
        scheduler.wait_all(TIMEOUT)
        assert seen == [("/plone", "System Processes", 4)]

    def test_may_write_and_schedule(self, scheduler, folder, subscribe):
        def write(event):
            if event.record.title == "First":
                api.portal.get()["folder"].title = "Changed"
                using(title="Second").schedule(int)

        subscribe(interfaces.ITaskSucceeded, write)
        finished(using(title="First").schedule(int))
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert folder.title == "Changed"
        assert [record.title for record in scheduler.records()] == ["Second", "First"]
