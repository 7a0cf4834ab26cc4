"""Records: which there are, for how long, and what they hold on to."""

from collections import OrderedDict
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.memory import store
from collective.background.memory.forgetting import TOGETHER
from collective.background.model.spool import Spool
from helpers import finished
from helpers import kept_files
from helpers import TIMEOUT
from threading import Thread

import gc
import logging
import pytest
import tracemalloc
import transaction


class TestRetention:
    def test_a_finished_task_is_kept_for_a_time(self, make_scheduler, clock):
        scheduler = make_scheduler(keep=60)
        task_id = finished(schedule(lambda: None)).id
        clock.now += 59
        assert scheduler.record(task_id) is not None
        clock.now += 2
        assert scheduler.record(task_id) is None
        assert scheduler.count() == 0

    def test_the_time_begins_when_it_has_ended(self, make_scheduler, clock, gate):
        scheduler = make_scheduler(keep=60)
        task_id = schedule(gate.task)
        transaction.commit()
        gate.wait()
        clock.now += 1000
        gate.open()
        scheduler.wait(task_id, TIMEOUT)
        clock.now += 59
        assert scheduler.record(task_id) is not None

    def test_an_unfinished_one_is_kept_however_long(self, make_scheduler, clock, gate):
        scheduler = make_scheduler(concurrency=1, keep=60, keep_count=1)
        ids = [schedule(gate.task) for _ in range(3)]
        transaction.commit()
        gate.wait()
        clock.now += 10_000
        found = [scheduler.record(task_id).state for task_id in ids]
        assert found == ["running", "queued", "queued"]

    def test_at_most_so_many_finished_ones_are_kept(self, make_scheduler):
        scheduler = make_scheduler(concurrency=1, keep_count=3)
        ids = [schedule(lambda: None) for _ in range(5)]
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert [record.id for record in scheduler.records()] == ids[:1:-1]

    def test_those_that_ended_first_go_first(self, make_scheduler):
        """Not those that were scheduled first."""
        scheduler = make_scheduler(concurrency=1, keep_count=1)
        scheduler.pause("default")
        first, second = schedule(lambda: None), schedule(lambda: None)
        transaction.commit()
        scheduler.cancel(second)
        scheduler.resume("default")
        scheduler.wait_all(TIMEOUT)
        assert [record.id for record in scheduler.records()] == [first]

    def test_a_retried_one_counts_from_its_last_end(self, make_scheduler, clock):
        def fail():
            raise ValueError

        scheduler = make_scheduler(keep=60)
        task_id = finished(schedule(fail)).id
        clock.now += 50
        scheduler.retry(task_id)
        scheduler.wait(task_id, TIMEOUT)
        clock.now += 50
        assert scheduler.record(task_id).attempts == 2

    def test_looking_for_old_ones_stops_at_the_first_young_one(
        self, make_scheduler, monkeypatch
    ):
        """So the cost of a task does not grow with the number of records."""

        class Counting(OrderedDict):
            seen = 0

            def values(self):
                for value in super().values():
                    Counting.seen += 1
                    yield value

        monkeypatch.setattr(store, "OrderedDict", Counting)
        scheduler = make_scheduler()
        for _ in range(50):
            schedule(lambda: None)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        Counting.seen = 0
        finished(schedule(lambda: None))
        assert scheduler.count() == 51
        # One when it has ended, one for each call that reads, and for each look of the
        # dispatcher, which comes when it wants.
        assert 0 < Counting.seen <= 6


class TestWhileNobodyAsks:
    def test_it_is_forgotten_as_well(self, make_scheduler, clock, until):
        scheduler = make_scheduler(keep=60)
        for _ in range(3):
            finished(schedule(lambda: None))
        clock.advance(59)
        assert len(scheduler._schedules) == 3
        clock.advance(1 + TOGETHER)
        until(lambda: not scheduler._schedules)

    def test_also_what_never_had_a_thread(self, make_scheduler, clock, until):
        scheduler = make_scheduler(keep=60)
        scheduler.pause("default")
        task_id = schedule(lambda: None)
        transaction.commit()
        scheduler.cancel(task_id)
        schedule_batch(len, ["x"], inline_below=2)
        transaction.commit()
        clock.advance(60 + TOGETHER)
        until(lambda: not scheduler._schedules)

    def test_and_an_empty_group(self, make_scheduler, clock, until):
        scheduler = make_scheduler(keep=60)
        with group() as whole:
            pass
        transaction.commit()
        assert scheduler.record(whole.id) is not None
        clock.advance(60 + TOGETHER)
        until(lambda: not scheduler._completed)

    def test_it_goes_on_until_nothing_is_left(self, make_scheduler, clock, until):
        scheduler = make_scheduler(keep=60)
        finished(schedule(lambda: None))
        clock.advance(30)
        finished(schedule(lambda: None))
        clock.advance(30 + TOGETHER)
        until(lambda: len(scheduler._schedules) == 1)
        clock.advance(30)
        until(lambda: not scheduler._schedules)

    def test_the_thread_that_waits_for_it_ends(self, make_scheduler, clock, until):
        scheduler = make_scheduler(keep=60)
        finished(schedule(lambda: None))
        dispatcher = scheduler.executor.dispatcher
        assert dispatcher._thread.is_alive()
        clock.advance(60 + TOGETHER)
        until(lambda: dispatcher._thread is None)

    def test_nor_does_anybody_wait_for_that(self, make_scheduler):
        scheduler = make_scheduler(keep=60)
        finished(schedule(lambda: None))
        scheduler.wait_all(TIMEOUT)
        assert scheduler.executor.dispatcher._thread is None


def test_a_record_takes_about_two_kilobytes(site, caplog):
    def run(number):
        for _ in range(number // 100):
            for _ in range(100):
                schedule(len, "x")
            transaction.commit()
            get_scheduler().wait_all(TIMEOUT)
        # Of the site, which is loaded anew when several threads overlap.
        site._p_jar.db().cacheMinimize()
        gc.collect()

    caplog.set_level(logging.CRITICAL)  # or pytest would keep the lines
    run(300)  # whatever is there once
    tracemalloc.start()
    run(500)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / 500 <= 2600  # with what tables have in reserve


class TestMemory:
    ARGUMENT = b"x" * 100_000

    def held(self, scheduler, task_id):
        """Whether the task still has the pickle of its call."""
        return scheduler._schedules[task_id].call.package is not None

    def test_a_succeeded_task_gives_its_arguments_back(self, scheduler):
        record = finished(schedule(len, self.ARGUMENT))
        assert not self.held(scheduler, record.id)
        assert record.callable == "builtins.len"

    def test_a_failed_one_keeps_them_to_be_retried(self, scheduler):
        record = finished(schedule(int, self.ARGUMENT))
        assert record.state == "failed"
        assert self.held(scheduler, record.id)


class TestTemporaryFiles:
    """A body of some megabytes is kept in a temporary file."""

    @pytest.fixture(autouse=True)
    def before(self, scheduler):
        """The files that there are without any task; the scheduler is at work."""
        finished(schedule(len, ""))
        return kept_files()

    def large(self):
        body = Spool.of(b"x" * 2_000_000)
        assert body.on_disk
        return body

    def test_is_gone_when_the_task_has_succeeded(self, before):
        record = finished(schedule(Spool.read, self.large()))
        assert record.state == "succeeded"
        assert kept_files() <= before

    def test_stays_with_a_failed_task_and_goes_with_it(self, scheduler, before, caplog):
        caplog.set_level(logging.CRITICAL)  # it keeps tracebacks, which have the body
        record = finished(schedule(int, self.large()))
        assert record.state == "failed"
        kept = kept_files()
        assert len(kept - before) == 1
        scheduler.remove(record.id)
        assert kept_files() < kept

    def test_is_gone_by_an_abort(self, before):
        schedule(Spool.read, self.large())
        assert len(kept_files() - before) == 1
        transaction.abort()
        assert kept_files() <= before

    def test_is_gone_by_the_rollback_of_a_savepoint(self, before):
        savepoint = transaction.savepoint()
        schedule(Spool.read, self.large())
        savepoint.rollback()
        assert kept_files() <= before

    def test_of_a_result_goes_with_the_last_who_has_it(self, scheduler, before):
        task_id = schedule(Spool.of, b"y" * 2_000_000)
        finished(task_id)
        result, _ = scheduler.get_result(task_id)
        transaction.commit()
        assert scheduler.record(task_id) is None
        assert result.read() == b"y" * 2_000_000
        del result
        assert kept_files() <= before


class TestRecords:
    @pytest.fixture
    def scheduler(self, make_scheduler):
        return make_scheduler(concurrency=1, queues={"mail": 1})

    def test_uncommitted_ones_are_not_among_them(self, scheduler):
        task_id = schedule(lambda: None)
        assert scheduler.records() == []
        assert scheduler.count() == 0
        assert scheduler.record(task_id).state == "queued"
        transaction.commit()
        assert scheduler.count() == 1

    def test_newest_first(self, scheduler):
        ids = [schedule(lambda: None) for _ in range(5)]
        transaction.commit()
        assert [record.id for record in scheduler.records()] == ids[::-1]

    def test_a_page_of_them(self, scheduler):
        ids = [schedule(lambda: None) for _ in range(60)]
        transaction.commit()
        newest_first = ids[::-1]

        def page(**arguments):
            return [record.id for record in scheduler.records(**arguments)]

        assert page(start=10, limit=5) == newest_first[10:15]
        assert page() == newest_first[:50]
        assert page(limit=None) == newest_first
        assert page(start=59) == newest_first[59:]
        assert page(start=60) == []
        assert page(limit=0) == []

    def test_by_queue(self, scheduler):
        task_id = using(queue="mail").schedule(lambda: None)
        schedule(lambda: None)
        transaction.commit()
        assert [record.id for record in scheduler.records(queue="mail")] == [task_id]
        assert scheduler.count(queue="mail") == 1
        assert scheduler.count() == 2

    def test_by_state(self, scheduler, gate):
        running, queued = schedule(gate.task), schedule(lambda: None)
        transaction.commit()
        gate.wait()
        assert [r.id for r in scheduler.records(states="running")] == [running]
        assert [r.id for r in scheduler.records(states=["queued"])] == [queued]
        assert scheduler.count(states={"running", "queued", "failed"}) == 2
        assert scheduler.count(states=()) == 0

    @pytest.mark.parametrize("read", ["records", "count"])
    @pytest.mark.parametrize("states", ["done", ["queued", "done"]])
    def test_an_unknown_state_is_refused(self, scheduler, read, states):
        with pytest.raises(BadOption, match=r"no state 'done'; there are: queued, "):
            getattr(scheduler, read)(states=states)

    def test_a_record_does_not_change_with_its_task(self, scheduler, gate):
        task_id = schedule(gate.task)
        transaction.commit()
        gate.wait()
        before = scheduler.record(task_id)
        gate.open()
        after = scheduler.wait(task_id, TIMEOUT)
        assert (before.state, after.state) == ("running", "succeeded")
        with pytest.raises(AttributeError):
            after.state = "queued"

    def test_reading_while_others_schedule(self, scheduler):
        """Nobody sees a mapping that changes under his hands."""

        def visit():
            for _ in range(200):
                schedule(lambda: None)
                transaction.abort()

        visitors = [Thread(target=visit) for _ in range(2)]
        for _ in range(200):
            schedule(lambda: None)
        for visitor in visitors:
            visitor.start()
        while any(visitor.is_alive() for visitor in visitors):
            assert scheduler.records(limit=None) == []
        for visitor in visitors:
            visitor.join()

    def test_times_are_aware_and_in_order(self, scheduler):
        record = finished(schedule(lambda: None))
        assert record.created <= record.started <= record.finished
        assert record.created.utcoffset().total_seconds() == 0
