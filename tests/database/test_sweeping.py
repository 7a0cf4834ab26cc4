"""What becomes of old tasks: they are forgotten."""

from another import Another
from another import until
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background.database import outbox
from collective.background.database import sweeping
from collective.background.database import watch
from collective.background.database.shards import Shards
from helpers import finished
from helpers import TIMEOUT
from math import inf

import pytest
import transaction


@pytest.fixture(autouse=True)
def seldom(monkeypatch):
    """Nothing is looked for but when the test says so."""
    monkeypatch.setattr(watch, "SWEEP", 3600.0)


def is_old(task_id):
    """Let it be that a task has ended long ago."""
    scheduler = get_scheduler()
    stored = scheduler.shards.find(task_id)
    scheduler.shards.remove(stored)
    stored.keep = -1.0
    scheduler.shards.ended(stored)
    transaction.commit()


def sweep():
    """Let this process look for old tasks at once."""
    outbox.feeder_of(get_scheduler()).swept_at = -inf
    outbox.current_watch().wake_up()


class TestWhatIsForgotten:
    def test_what_is_too_old(self, scheduler):
        old, young = finished(schedule(len, "x")).id, finished(schedule(len, "x")).id
        is_old(old)
        sweep()
        until(lambda: scheduler.record(old) is None)
        assert scheduler.record(young) is not None

    def test_though_an_instance_stands_still(self, scheduler, another, monkeypatch):
        """That may be alive, and work for other sites only."""
        monkeypatch.setattr(sweeping, "TURN", 0.01)
        old = finished(schedule(len, "x")).id
        is_old(old)

        def is_forgotten():
            sweep()
            return scheduler.record(old) is None

        until(is_forgotten)
        assert another.is_known()

    def test_the_oldest_of_too_many(self, settings, scheduler):
        ids = [finished(schedule(len, "x")).id for _ in range(4)]
        settings(keep_count=2)
        sweep()
        until(lambda: scheduler.count() == 2)
        assert [record.id for record in scheduler.records()] == ids[:1:-1]

    @pytest.mark.parametrize("too_many", [True, False])
    def test_it_goes_on_while_something_is_left(
        self, settings, scheduler, monkeypatch, too_many
    ):
        """However few are forgotten in one transaction."""
        monkeypatch.setattr(sweeping, "AT_ONCE", 2)
        swept = []
        forget = sweeping.forget

        def count(scheduler, stored):
            swept.append(stored._p_jar.transaction_manager.get())
            forget(scheduler, stored)

        monkeypatch.setattr(sweeping, "forget", count)
        ids = [schedule(len, "x") for _ in range(7)]
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        if too_many:
            settings(keep_count=0)
        else:
            for task_id in ids:
                is_old(task_id)
        sweep()
        until(lambda: scheduler.count() == 0)
        assert len({id(each) for each in swept}) > 1

    def test_a_group_goes_with_its_last_task(self, scheduler):
        with group() as whole:
            task_id = schedule(len, "x")
        finished(task_id)
        assert scheduler.record(whole.id) is not None
        scheduler.remove(task_id)
        transaction.begin()
        assert scheduler.record(whole.id) is None


def test_what_cannot_be_forgotten_holds_up_nothing_else(scheduler, monkeypatch):
    old = finished(schedule(len, "x")).id
    is_old(old)
    remove = Shards.remove

    def remove_all_but_one(self, task):
        if task.id == old:
            raise ValueError("simulated")
        remove(self, task)

    monkeypatch.setattr(Shards, "remove", remove_all_but_one)
    sweep()
    assert finished(schedule(len, "x")).state == "succeeded"
    assert scheduler.record(old) is not None


def test_one_instance_is_enough(scheduler, another, monkeypatch):
    monkeypatch.setattr(sweeping, "TURN", 1e12)
    Another("!the first of all").joins()
    transaction.commit()
    old = finished(schedule(len, "x")).id
    is_old(old)
    sweep()
    feeder = outbox.feeder_of(scheduler)
    until(lambda: feeder.swept_at > 0)
    assert scheduler.record(old) is not None
