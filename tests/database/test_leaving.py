"""The orderly end of a process, and what becomes of its tasks."""

from another import until
from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database import claims
from collective.background.database import outbox
from collective.background.database.holding import Held
from collective.background.database.holding import HeldTasks
from collective.background.database.instances import instances_for
from collective.background.database.look import Look
from collective.background.database.looking import last
from collective.background.exceptions import ShuttingDown
from collective.background.executing.deadline import Deadline
from collective.background.interfaces import IMetrics
from collective.background.interfaces import ITaskLost
from collective.background.running import outcome
from collective.background.testing import serving
from gated_tasks import create
from gated_tasks import gated
from gated_tasks import gated_until_cancelled
from helpers import TIMEOUT
from threading import Event
from time import monotonic
from zope.component import getGlobalSiteManager

import gated_tasks
import pytest
import threading
import transaction


@pytest.fixture
def run(scheduler, gates):
    """Return a function that commits, and waits until a task has begun."""

    def run(task_id):
        transaction.commit()
        gates.wait()
        transaction.begin()
        return task_id

    return run


def record_after_drain(task_id, timeout):
    """Return the record once this process does not serve any more."""
    get_scheduler().drain(timeout)
    transaction.begin()
    return get_scheduler().record(task_id)


def gated_item(item):
    gated()


class TestWhatRuns:
    def test_what_may_run_again_is_asked_to_stop_and_waits_for_others(self, run):
        task_id = run(using(rerun=True).schedule(gated_until_cancelled))
        record = record_after_drain(task_id, TIMEOUT)
        assert (record.state, record.error, record.instance) == ("queued", None, "")
        assert record.attempts == 1
        [attempt] = record.timeline
        assert (attempt.number, attempt.state) == (1, "cancelled")
        assert [each.by for each in record.interventions] == ["shutdown"]

    def test_or_is_left_to_them_when_it_does_not_stop(self, scheduler, run, gates):
        task_id = run(using(rerun=True).schedule(gated))
        record = record_after_drain(task_id, 0)
        assert record.state == "queued"
        assert [attempt.state for attempt in record.timeline] == ["lost"]
        assert [each.by for each in record.interventions] == ["shutdown"]
        assert not scheduler.shards.find(task_id).is_marked
        gates.opened.set()

    def test_a_batch_goes_on_where_it_was(self, run, gates):
        task_id = run(schedule_batch(gated_item, ["a", "b", "c"], size=1))
        outbox.current_watch().stop()
        gates.opened.set()
        record = record_after_drain(task_id, TIMEOUT)
        assert record.state == "queued"
        assert (record.progress.done, record.progress.total) == (1, 3)

    def test_what_may_not_goes_on(self, run, gates):
        """Its requests to other servers would be made once more."""
        task_id = run(schedule(go_on_until_the_end, 5))
        outbox.current_watch().stop()
        gates.opened.set()
        assert record_after_drain(task_id, TIMEOUT).state == "succeeded"

    def test_until_the_time_is_over(self, run, gates, subscribe, caplog):
        told = []
        subscribe(ITaskLost, lambda event: told.append(event.record.id))
        caplog.set_level("INFO", "collective.background")
        before = lost_so_far()
        task_id = run(using(title="Long").schedule(gated))
        record = record_after_drain(task_id, 0)
        assert (record.state, record.attempts) == ("lost", 1)
        assert "was stopped before the task had ended" in record.error.message
        assert [attempt.state for attempt in record.timeline] == ["lost"]
        assert [each.by for each in record.interventions] == ["shutdown"]
        assert record.started is not None
        assert told == [task_id]
        assert lost_so_far() == before + 1
        assert [line for line in caplog.messages if task_id in line and "lost" in line]
        gates.opened.set()

    def test_one_that_somebody_has_cancelled_does_not_run_again(self, run, gates):
        task_id = run(using(rerun=True).schedule(gated))
        get_scheduler().cancel(task_id)
        record = record_after_drain(task_id, 0)
        assert record.state == "cancelled"
        assert "before its next attempt" in record.error.message
        gates.opened.set()


def test_a_batch_stops_between_two_transactions(idle_site, gates):
    """Not in an item, whose requests to other servers would be made once more."""
    gates.items = []
    with serving() as watch:
        task_id = schedule_batch(item_with_steps, ["a", "b", "c"], size=1)
        transaction.commit()
        gates.wait()
        watch.stop()
        gates.opened.set()
        watch.leave(Deadline(TIMEOUT))
    transaction.begin()
    record = get_scheduler().record(task_id)
    assert (record.state, record.progress.done) == ("queued", 1)
    with serving():
        assert get_scheduler().wait(task_id, TIMEOUT).state == "succeeded"
    assert gates.items == ["a", "b", "c"]


def item_with_steps(item):
    gated_tasks.gates.items.append(item)
    gated()
    current_task().check_cancelled()


def go_on_until_the_end(steps):
    gated()
    for _ in current_task().track(range(steps)):
        pass


def lost_so_far():
    metrics = getGlobalSiteManager().getUtility(IMetrics)
    return metrics.snapshot()["default"]["transitions"]["lost"]


class TestWhatWaits:
    def test_what_was_reserved_is_given_back(self, scheduler, gates, run):
        for _ in range(2):
            schedule(gated)
        reserved = using(rerun=True).schedule(len, "abc")
        run(reserved)
        scheduler.drain(0)
        transaction.begin()
        stored = scheduler.shards.find(reserved)
        assert (stored.instance, stored.is_marked, stored.attempts) == ("", False, 0)
        assert [id for id in scheduler.holdings if id] == []
        assert instances_for(scheduler) == {}
        gates.opened.set()

    def test_it_goes_on_in_another_process(self, idle_site, folder, gates):
        with serving() as watch:
            for _ in range(2):
                schedule(gated)
            task_id = schedule(create, folder, "new")
            transaction.commit()
            gates.wait()
            watch.stop()
            watch.leave(Deadline(0))
            gates.opened.set()
        with serving():
            assert get_scheduler().wait(task_id, TIMEOUT).state == "succeeded"

    def test_nothing_more_is_scheduled(self, scheduler):
        scheduler.drain(0)
        with pytest.raises(ShuttingDown):
            schedule(len, "x")

    def test_nor_is_what_was_scheduled_before_committed(self, scheduler):
        schedule(len, "x")
        scheduler.drain(0)
        with pytest.raises(ShuttingDown):
            transaction.commit()


def test_a_task_that_is_about_to_begin(scheduler, gates, monkeypatch):
    """It is given back; its thread finds that out before the first line."""
    is_beginning, may_begin = Event(), Event()
    begin = claims.begin

    def begin_later(*args):
        is_beginning.set()
        assert may_begin.wait(TIMEOUT)
        return begin(*args)

    monkeypatch.setattr(claims, "begin", begin_later)
    task_id = schedule(gated)
    transaction.commit()
    assert is_beginning.wait(TIMEOUT)
    record = record_after_drain(task_id, 0)
    assert (record.state, record.instance) == ("queued", "")
    (thread,) = [each for each in threading.enumerate() if task_id in each.name]
    may_begin.set()
    thread.join(TIMEOUT)
    assert not gates.begun.is_set()


def test_a_task_that_ends_at_the_last_moment(bare, monkeypatch):
    """When the ends of all others were just written."""
    stored = bare.add()
    bare.manager.commit()
    feeder = bare.feeder()
    look = bare.look(feeder)
    look.reserve()
    look.finish()
    bare.manager.commit()
    held = Held(feeder.claim_of(stored, stored.fence), stored.queue)
    held.has_thread = True
    held.task = stored.make_task(None)
    stored.begin(feeder.executor.instance)
    feeder.held[stored.id] = held
    bare.manager.commit()

    def over():
        found = HeldTasks.over(feeder.held)
        held.ended = outcome.failed(ValueError("simulated"))
        held.has_thread = False
        return found

    monkeypatch.setattr(feeder.held, "over", over)
    look = bare.look(feeder)
    last(look)
    look.finish()
    bare.manager.commit()
    assert stored.state == "lost"
    assert feeder.executor.instance not in bare.scheduler.holdings


def test_an_end_that_could_not_be_written_before(bare, monkeypatch):
    """It would be time to try it again, just after the others were written."""
    stored = bare.add()
    bare.manager.commit()
    feeder = bare.feeder()
    bare.see_to(feeder, Look.reserve)
    (held,) = feeder.held.values()
    held.ended = outcome.failed(ValueError("simulated"))
    held.stuck_until = monotonic() + 3600

    def over():
        found = HeldTasks.over(feeder.held)
        held.stuck_until = monotonic()
        return found

    monkeypatch.setattr(feeder.held, "over", over)
    look = bare.look(feeder)
    last(look)
    assert set(look.tasks) == {stored.id}
    assert not look.is_last
    assert feeder.held.stuck() == [held]


def test_what_a_look_has_reserved_when_all_is_to_stop(bare):
    """The look was under way: nothing of it waits in the dispatcher for ever."""
    before, during = bare.add(), bare.add()
    bare.manager.commit()
    feeder = bare.feeder()
    for stored in (before, during):
        stored.reserve(feeder.executor.instance)
    bare.manager.commit()
    feeder.take(feeder.claim_of(before, before.fence), "default", 0, 0, None, ())
    feeder.stop()
    feeder.take(feeder.claim_of(during, during.fence), "default", 0, 0, None, ())
    assert [queue.waiting for queue in feeder.executor.queues()] == [0, 0]
    assert [held.is_withdrawn for held in feeder.held.values()] == [True, True]


def test_others_know_at_once_that_nothing_more_begins(run, gates):
    """While it waits for what runs."""
    run(schedule(gated))
    watch = outbox.current_watch()
    id = watch.executor.instance
    watch.stop()

    def is_draining():
        transaction.begin()
        return instances_for(get_scheduler())[id].is_draining

    until(is_draining)
    assert instances_for(get_scheduler())[id].slots
    gates.opened.set()
