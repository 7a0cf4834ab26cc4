"""What goes badly wrong in a task ends in a record, and does no other harm."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.interfaces import ITaskFailed
from collective.background.model.states import UNFINISHED
from collective.background.testing import drain
from datetime import timedelta
from helpers import finished
from helpers import result_of
from helpers import TIMEOUT
from zope.component import getGlobalSiteManager

import pytest
import threading
import transaction


def recurse(number=0):
    return recurse(number + 1) + 1


def run_out_of_memory():
    raise MemoryError("simulated")


def interrupt():
    raise KeyboardInterrupt


class TestExceptionsOfPython:
    @pytest.mark.parametrize(
        ("function", "error"),
        [
            (recurse, "builtins.RecursionError"),
            (run_out_of_memory, "builtins.MemoryError"),
            (interrupt, "builtins.KeyboardInterrupt"),
        ],
    )
    def test_fail_the_task_and_nothing_else(self, functional, function, error):
        record = finished(schedule(function))
        assert (record.state, record.error.type) == ("failed", error)
        assert function.__name__ in record.error.traceback
        assert result_of(schedule(len, "abc")) == 3

    def test_what_is_no_error_of_the_task_is_not_tried_again(self, functional):
        record = finished(using(retries=5, backoff=0).schedule(interrupt))
        assert record.attempts == 1


class TestTasksThatScheduleTasks:
    def test_one_that_schedules_itself_can_be_stopped(self, functional):
        """There is one of them at a time, and it stops with the one that is told."""
        begun = threading.Event()
        stop = threading.Event()
        generations = []

        def again():
            generations.append(current_task().id)
            if len(generations) >= 20:
                begun.set()
            if not stop.is_set():
                schedule(again)

        schedule(again)
        transaction.commit()
        assert begun.wait(TIMEOUT)
        stop.set()
        drain()
        assert get_scheduler().count(states={"queued", "running"}) == 0
        assert len(set(generations)) == len(generations) >= 20

    def test_the_end_of_the_process_ends_one_that_schedules_itself(
        self, functional, make_scheduler
    ):
        scheduler = make_scheduler()
        begun = threading.Event()

        def again():
            schedule(again)
            if get_scheduler().count() > 20:
                begun.set()

        schedule(again)
        transaction.commit()
        assert begun.wait(TIMEOUT)
        scheduler.drain(TIMEOUT)
        assert scheduler.count(states=UNFINISHED) == 0
        assert scheduler.count(states={"failed", "cancelled", "lost"}) == 1

    def test_one_that_schedules_itself_can_be_cancelled(
        self, functional, make_scheduler, until
    ):
        """In a paused queue, where the next of them waits."""
        scheduler = make_scheduler()

        def again():
            schedule(again)

        def cancelled():
            for record in scheduler.records(states={"queued"}):
                scheduler.cancel(record.id)
            return not scheduler.count(states=UNFINISHED)

        schedule(again)
        transaction.commit()
        scheduler.pause("default")
        until(cancelled)
        scheduler.resume("default")
        scheduler.wait_all(TIMEOUT)
        assert scheduler.count(states={"cancelled"}) == 1

    def test_one_that_schedules_more_and_more_is_bounded(
        self, functional, make_scheduler
    ):
        """By the waiting room: then such a task fails, and adds none."""
        scheduler = make_scheduler(max_waiting=10)
        stop, refused = threading.Event(), threading.Event()

        def multiply():
            if not stop.is_set():
                schedule(multiply)
                schedule(multiply)

        def note(event):
            if event.record.error.type.endswith("QueueFull"):
                refused.set()

        site_manager = getGlobalSiteManager()
        site_manager.registerHandler(note, (ITaskFailed,))
        try:
            schedule(multiply)
            transaction.commit()
            assert refused.wait(TIMEOUT)
            assert scheduler.count(states={"queued"}) <= 10
        finally:
            stop.set()
            site_manager.unregisterHandler(note, (ITaskFailed,))
        drain()
        assert scheduler.count(states={"queued", "running"}) == 0


class TestClockThatIsSetBack:
    def test_neither_holds_a_task_nor_spoils_its_record(self, functional, set_clock):
        """A day, between the scheduling and the start."""
        task_id = using(delay=0.01).schedule(len, "abc")
        set_clock(-timedelta(days=1))
        record = finished(task_id)
        assert record.state == "succeeded"
        assert record.started < record.created
        assert record.wait_time == 0
        assert record.run_time >= 0
