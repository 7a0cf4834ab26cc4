"""Scheduling in a transaction: what is refused, and when the others hear of it."""

from another import Another
from another import elsewhere
from another import until
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.database import counted
from collective.background.database import outbox
from collective.background.database import reserving
from collective.background.database.counting import wait_counts
from collective.background.database.installing import install
from collective.background.database.instances import instances_for
from collective.background.database.room import Room
from collective.background.database.shard import SHARDS
from collective.background.exceptions import BadOption
from collective.background.exceptions import QueueFull
from collective.background.executing.executor import process_executor
from collective.background.testing import serving
from gated_tasks import create
from helpers import finished
from threading import Condition
from types import SimpleNamespace
from ZODB.POSException import ConflictError

import logging
import pytest
import transaction


class TestRoom:
    @pytest.mark.parametrize("role", ["all", "web"])
    def test_no_more_tasks_wait_than_may(self, settings, scheduler, role):
        settings(role=role, max_waiting=3)
        scheduler.pause("default")
        for _ in range(3):
            schedule(len, "x")
        transaction.commit()
        until(lambda: outbox.feeder_of(scheduler).room.waiting() == 3)
        schedule(len, "x")
        with pytest.raises(QueueFull, match="'max_waiting' allows no more"):
            transaction.commit()

    def test_nor_does_one_transaction_schedule_more(self, settings, scheduler):
        settings(max_waiting=3)
        for _ in range(4):
            schedule(len, "x")
        with pytest.raises(QueueFull):
            transaction.commit()

    def test_nor_do_scripts(self, settings, idle_site):
        settings(max_waiting=3)
        for _ in range(2):
            schedule(len, "x")
        transaction.commit()
        schedule(len, "x")
        transaction.commit()
        schedule(len, "x")
        with pytest.raises(QueueFull):
            transaction.commit()

    def test_scripts_do_not_count_for_each_task(self, idle_site, counts):
        for _ in range(5):
            schedule(len, "x")
            transaction.commit()
        assert len(counts) == 1

    def test_but_when_there_is_no_room(self, settings, idle_site, counts):
        """What has left since the last count makes room at once."""
        settings(max_waiting=3)
        ids = [schedule(len, "x") for _ in range(3)]
        transaction.commit()
        get_scheduler().cancel(ids[0])
        transaction.begin()
        schedule(len, "x")
        transaction.commit()
        assert len(counts) == 2
        assert get_scheduler().count(states={"queued"}) == 3

    def test_nor_while_a_process_begins_to_serve(self, settings, idle_site):
        """Its first looks have not counted yet what waits."""
        settings(max_waiting=2)
        for _ in range(2):
            schedule(len, "x")
        transaction.commit()
        feeder = SimpleNamespace(
            room=Room(Condition()), settings=process_executor().settings
        )
        feeder.slots = feeder.own = {}
        feeder.count_now = feeder.wake_up = lambda *args: None
        outbox.connect(
            SimpleNamespace(is_stopping=False, feeder_of=lambda scheduler: feeder)
        )
        try:
            schedule(len, "x")
            with pytest.raises(QueueFull):
                transaction.commit()
        finally:
            outbox.connect(None)

    def test_nor_in_the_transaction_that_installs_it(self, site):
        install(site)
        schedule(len, "x")
        transaction.commit()
        assert get_scheduler().count(states={"queued"}) == 1


@pytest.fixture
def counts(monkeypatch):
    """What a process that does not serve has counted, as a list.

    It does not because time has passed.
    """
    monkeypatch.setattr(counted, "COUNTING", 3600.0)
    found = []

    def count(*args, **kw):
        found.append(wait_counts(*args, **kw))
        return found[-1]

    monkeypatch.setattr(counted, "wait_counts", count)
    return found


def test_a_task_that_left_the_cache_before_the_commit(scheduler, caplog):
    task_id = schedule(len, "x")
    transaction.savepoint()
    scheduler._p_jar.cacheMinimize()
    assert finished(task_id).state == "succeeded"
    assert [r for r in caplog.records if r.levelno >= logging.CRITICAL] == []


def test_the_scheduler_that_is_taken_away_meanwhile_gets_no_task(scheduler):
    """It would be lost. A visitor's request is repeated, without the scheduler."""
    schedule(len, "x")
    with elsewhere(scheduler) as (mine, manager):
        mine.retire()
        manager.commit()
    with pytest.raises(ConflictError):
        transaction.commit()


def test_a_web_instance_runs_nothing(settings, idle_site, folder):
    settings(role="web")
    task_id = schedule(create, folder, "new")
    transaction.commit()
    scheduler = get_scheduler()
    with serving() as watch:
        until(
            lambda: (
                watch.feeder_of(scheduler) and watch.feeder_of(scheduler).room.waiting()
            )
        )
        assert len(instances_for(scheduler)) == 1
        assert scheduler.instances() == []
        assert scheduler.record(task_id).state == "queued"
        assert not scheduler.shards.find(task_id).is_reserved
        assert scheduler.cancel(task_id).state == "cancelled"


def test_a_queue_that_only_another_instance_has(scheduler, another, folder):
    with pytest.raises(BadOption, match="no queue 'imports'"):
        using(queue="imports").schedule(create, folder, "new")
    Another("other-host:1:abcd", slots={"imports": 3}).joins()
    transaction.commit()
    task_id = using(queue="imports").schedule(create, folder, "new")
    transaction.commit()
    transaction.begin()
    slots = {queue.name: (queue.slots, queue.waiting) for queue in scheduler.queues()}
    assert slots["imports"] == (3, 1)
    assert scheduler.cancel(task_id).state == "cancelled"


@pytest.mark.usefixtures("another")
def test_who_has_an_idle_slot_finds_at_once_what_it_has_scheduled(
    scheduler, monkeypatch
):
    """Though another instance has shards, too."""
    monkeypatch.setattr(reserving.Choice, "steal", lambda *args: None)
    transaction.commit()
    feeder = outbox.feeder_of(scheduler)
    until(lambda: 0 < len(feeder.own.get("default", ())) < SHARDS)
    for _ in range(6):
        assert finished(schedule(len, "x")).state == "succeeded"
