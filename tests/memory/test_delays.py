"""``delay`` and ``eta``: tasks that do not start before their time has come."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import QueueFull
from collective.background.executing.dispatcher import IDLE
from collective.background.scheduling.task import Task
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from datetime import UTC
from helpers import finished
from helpers import TIMEOUT

import gc
import pytest
import transaction


HOUR = 3600


@pytest.fixture
def scheduler(make_scheduler):
    return make_scheduler(concurrency=1)


@pytest.fixture
def started():
    """The names of tasks, in the order in which they have started."""
    return []


@pytest.fixture
def put_off(started):
    """Return a function that schedules a task with a name, commits, returns its id."""

    def put_off(name="put off", **options):
        task_id = using(**options).schedule(lambda: started.append(name))
        transaction.commit()
        return task_id

    return put_off


def state(task_id):
    """The state of a task, once the dispatcher has seen to all that may start."""
    assert finished(schedule(int)).state == "succeeded"
    return get_scheduler().record(task_id).state


def has_dispatcher(scheduler):
    return scheduler.executor.dispatcher._thread is not None


class TestDelay:
    def test_starts_when_its_time_has_come(self, scheduler, clock, put_off, started):
        task_id = put_off(delay=HOUR)
        assert state(task_id) == "queued"
        clock.advance(HOUR - 1)
        assert state(task_id) == "queued"
        assert started == []
        clock.advance(1)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_starts_by_itself(self, scheduler, put_off):
        """The dispatcher does not end while a task is put off."""
        task_id = put_off(delay=IDLE + 0.1)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_the_time_begins_with_schedule(self, scheduler, clock, started):
        """And not with the commit."""
        task_id = using(delay=10).schedule(int)
        clock.advance(10)
        assert finished(task_id).state == "succeeded"

    def test_a_shorter_one_that_comes_later_starts_earlier(
        self, scheduler, clock, put_off, started
    ):
        long = put_off("long", delay=20)
        short = put_off("short", delay=10)
        clock.advance(10)
        scheduler.wait(short, TIMEOUT)
        assert state(long) == "queued"
        clock.advance(10)
        scheduler.wait(long, TIMEOUT)
        assert started == ["short", "long"]

    def test_in_order_of_their_time_when_many_are_due(
        self, scheduler, clock, put_off, started
    ):
        delays = [30, 10, 50, 20, 40]
        for delay in delays:
            put_off(delay, delay=delay)
        clock.advance(60)
        scheduler.wait_all(TIMEOUT)
        assert started == sorted(delays)

    def test_those_of_one_time_in_the_order_of_scheduling(
        self, scheduler, clock, put_off, started
    ):
        for number in range(20):
            put_off(number, delay=10)
        clock.advance(10)
        scheduler.wait_all(TIMEOUT)
        assert started == list(range(20))

    def test_waits_for_its_queue_when_its_time_has_come(
        self, make_scheduler, clock, put_off
    ):
        scheduler = make_scheduler(queues={"mail": 1})
        scheduler.pause("mail")
        task_id = put_off(queue="mail", delay=10)
        clock.advance(10)
        assert state(task_id) == "queued"
        scheduler.resume("mail")
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    @pytest.mark.parametrize("seconds", [1e10, 1e18])
    def test_for_longer_than_the_system_can_wait(self, scheduler, put_off, seconds):
        task_id = put_off(delay=seconds)
        assert state(task_id) == "queued"
        assert state(task_id) == "queued"
        scheduler.cancel(task_id)


class TestEta:
    @pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5))])
    def test_starts_at_that_time(self, scheduler, clock, put_off, zone):
        task_id = put_off(eta=datetime.now(zone) + timedelta(hours=1))
        clock.advance(HOUR - 60)
        assert state(task_id) == "queued"
        clock.advance(60)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    @pytest.mark.parametrize("eta", [datetime.now(UTC), datetime.min])
    def test_in_the_past_starts_at_once(self, scheduler, clock, put_off, eta):
        task_id = put_off(eta=eta.replace(tzinfo=UTC))
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_in_thousands_of_years(self, scheduler, put_off):
        task_id = put_off(eta=datetime.max.replace(tzinfo=UTC))
        assert state(task_id) == "queued"
        scheduler.cancel(task_id)

    def test_does_not_depend_on_the_clock_of_the_system_any_more(
        self, scheduler, clock, put_off, set_clock
    ):
        """Somebody may set that back; it is read once, when the task is scheduled."""
        task_id = put_off(eta=datetime.now(UTC) + timedelta(hours=1))
        set_clock(-timedelta(days=1))
        clock.advance(HOUR)
        record = scheduler.wait(task_id, TIMEOUT)
        assert record.state == "succeeded"
        assert record.started < record.created
        assert record.wait_time == 0


class TestWhileItWaits:
    def test_it_has_no_slot(self, scheduler, put_off):
        task_id = put_off(delay=HOUR)
        assert state(task_id) == "queued"
        assert scheduler.record(task_id).started is None
        scheduler.cancel(task_id)

    @pytest.mark.parametrize("end", ["cancel", "remove"])
    def test_it_can_be_ended_at_once(self, scheduler, clock, put_off, started, end):
        task_id = put_off(delay=10)
        getattr(scheduler, end)(task_id)
        scheduler.wait_all(TIMEOUT)
        clock.advance(10)
        assert finished(schedule(int)).state == "succeeded"
        assert started == []

    def test_a_cancelled_one_says_that_it_had_not_begun(self, scheduler, put_off):
        record = scheduler.cancel(put_off(delay=HOUR))
        assert record.state == "cancelled"
        assert record.error.message == "the task was cancelled before it had begun"
        assert record.started is None

    def test_a_retry_of_a_cancelled_one_starts_at_once(self, scheduler, put_off):
        task_id = put_off(delay=HOUR)
        scheduler.cancel(task_id)
        scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_it_takes_room_of_its_own(self, make_scheduler, put_off):
        scheduler = make_scheduler(max_waiting=1, max_delayed=1)
        task_id = put_off(delay=HOUR)
        assert scheduler.wait(put_off(), TIMEOUT).state == "succeeded"
        with pytest.raises(QueueFull, match=r"1 tasks wait for .*'max_delayed' allows"):
            put_off(delay=HOUR)
        transaction.abort()
        scheduler.cancel(task_id)
        scheduler.cancel(put_off(delay=HOUR))

    def test_it_takes_that_of_the_others_when_it_is_due(
        self, make_scheduler, put_off, clock
    ):
        scheduler = make_scheduler(max_waiting=1)
        scheduler.pause("default")
        put_off(delay=10)
        clock.now += 10
        with pytest.raises(QueueFull, match="'max_waiting' allows no more"):
            put_off()
        transaction.abort()
        scheduler.resume("default")

    def test_the_end_of_the_process_does_not_wait_for_it(
        self, scheduler, put_off, started, caplog
    ):
        task_id = put_off(delay=HOUR, title="Reminder")
        scheduler.drain(TIMEOUT)
        assert scheduler.record(task_id).state == "lost"
        assert started == []
        (line,) = [line for line in caplog.messages if task_id in line]
        assert "'Reminder' of anonymous" in line
        assert "lost" in line

    def test_the_dispatcher_ends_with_the_last_one(
        self, make_scheduler, put_off, until
    ):
        scheduler = make_scheduler(keep=0)  # else it waits until they are forgotten
        ids = [put_off(delay=HOUR) for _ in range(3)]
        for task_id in ids:
            assert has_dispatcher(scheduler)
            scheduler.cancel(task_id)
        until(lambda: not has_dispatcher(scheduler))

    def test_waiting_for_all_while_one_comes_in(self, scheduler, put_off, clock):
        """The dispatcher was dismissed, and goes on waiting for the new one."""
        finished(schedule(int))
        scheduler.wait_all(TIMEOUT)
        task_id = put_off(delay=10)
        assert state(task_id) == "queued"
        clock.advance(10)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_cancelled_ones_keep_no_memory(self, scheduler, put_off):
        kept = put_off("kept", delay=HOUR)
        for number in range(300):
            scheduler.remove(put_off(number, delay=2 * HOUR))
        gc.collect()
        tasks = [obj for obj in gc.get_objects() if isinstance(obj, Task)]
        assert sum(task.options.delay == 2 * HOUR for task in tasks) <= 2
        scheduler.cancel(kept)
