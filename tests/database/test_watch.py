"""The watch: what it finds, whom it takes for dead, and what it outlives."""

from another import Another
from another import elsewhere
from another import SHORT_LEASE
from another import until
from another import until_looked_who_is_alive
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database import instances
from collective.background.database import outbox
from collective.background.database import presence
from collective.background.database import watch as watch_module
from collective.background.database.installing import install
from collective.background.database.installing import uninstall
from collective.background.database.instances import add_instance
from collective.background.database.instances import instances_for
from collective.background.database.instances import Silences
from collective.background.database.look import Look
from collective.background.database.presence import Presence
from collective.background.database.rescue import rescue_all
from collective.background.database.tasks import StoredTask
from collective.background.database.watch import LOOKING
from collective.background.executing.clock import clock_of
from collective.background.executing.executor import Executor
from collective.background.executing.executor import process_executor
from collective.background.interfaces import ITaskSucceeded
from collective.background.model.config import Settings
from collective.background.testing import serving
from helpers import finished
from helpers import TIMEOUT
from threading import Event
from ZODB.POSException import ConflictError
from ZODB.POSException import StorageError
from ZODB.utils import p64
from zope.component.hooks import setSite

import logging
import pytest
import transaction


LEASE, GAP = 60.0, 25.0
STEP = 10.0  # seconds between two looks


@pytest.fixture
def time(monkeypatch):
    """What ``monotonic()`` says to who measures silences: in a list of its own."""
    time = [1000.0]
    monkeypatch.setattr(instances, "monotonic", lambda: time[0])
    return time


class TestSilences:
    """Who is dead, as an instance sees it that looks after each of its beats."""

    @pytest.fixture
    def looks(self, time):
        silences = Silences(LEASE, GAP)

        def looks(seconds, beats, step=STEP):
            """Look for so long; return who is dead then."""
            others = beating(**beats)
            dead = silences.dead(others)
            for _ in range(int(seconds / step)):
                time[0] += step
                dead = silences.dead(others)
            return set(dead)

        return looks

    def test_who_is_silent_for_longer_than_the_lease_is_dead(self, looks):
        assert looks(LEASE, {"a": 1}) == set()
        assert looks(STEP, {"a": 1}) == {"a"}

    def test_who_is_heard_of_is_not(self, looks):
        assert looks(LEASE, {"a": 1, "b": 1}) == set()
        assert looks(STEP, {"a": 2, "b": 1}) == {"b"}
        assert looks(LEASE, {"a": 3}) == set()

    def test_an_outage_that_is_longer_than_the_lease_kills_nobody(self, looks, time):
        """Nobody could write meanwhile, neither they nor this process."""
        beats = {"a": 1, "b": 1}
        assert looks(LEASE, beats) == set()
        time[0] += 10 * LEASE
        assert looks(LEASE, beats) == set()
        assert looks(STEP, beats) == beats.keys()

    def test_they_have_the_time_to_connect_again(self, looks, time):
        """Also with a lease that is shorter than that takes."""
        silences = Silences(lease=1.0, gap=GAP)
        others = beating(a=1)
        silences.dead(others)
        time[0] += 10 * LEASE
        assert silences.dead(others) == {}
        time[0] += instances.RECONNECT - 10
        assert silences.dead(others) == {}
        time[0] += 10
        assert silences.dead(others) == {"a": 1.0}

    def test_many_short_outages_kill_nobody(self, looks, time):
        for _ in range(20):
            assert looks(LEASE / 2, {"a": 1}) == set()
            time[0] += GAP + 1

    def test_the_longer_lease_counts(self, time):
        """Or who writes every ten seconds is dead to who waits for five."""
        silences = Silences(lease=STEP, gap=GAP)
        others = {**beating(long=1, lease=LEASE), **beating(short=1, lease=1.0)}
        others |= beating(old=1)  # of a release that does not tell its lease
        assert silences.dead(others) == {}
        time[0] += 1.5 * STEP
        assert silences.dead(others) == {"short": STEP, "old": STEP}
        for _ in range(4):
            time[0] += STEP
            assert "long" not in silences.dead(others)
        time[0] += STEP
        assert silences.dead(others)["long"] == LEASE


def beating(lease=0.0, **beats):
    """Return {id: Instance}, with these beats."""
    found = {}
    for id, beat in beats.items():
        found[id] = instances.Instance(id, "all", {}, lease=lease)
        found[id].beat = beat
    return found


class TestHeartbeats:
    @pytest.fixture
    def presence(self, bare):
        return Presence(Executor(Settings(lease=30.0)), bare.clock)

    def test_tell_the_lease(self, bare, presence):
        presence.beat(bare.connection, bare.manager)
        (me,) = instances.instances_of(bare.connection).values()
        assert me.lease == 30.0

    def test_tell_at_once_that_nothing_more_begins(self, bare, presence):
        """Its queues are still there, for who schedules something."""
        presence.beat(bare.connection, bare.manager)
        (me,) = instances.instances_of(bare.connection).values()
        assert (me.is_draining, presence.is_due()) == (False, False)
        presence.drain()
        assert presence.is_due()
        presence.beat(bare.connection, bare.manager)
        assert (me.is_draining, presence.is_due()) == (True, False)
        assert me.slots

    def test_of_who_was_taken_for_dead_do_not_begin_anew(self, bare, presence):
        """Or who looks now and then would see the same number each time."""
        seen = []
        for _ in range(2):
            assert presence.beat(bare.connection, bare.manager) == set()
            ((id, me),) = instances.instances_of(bare.connection).items()
            seen.append(me.beat)
            presence.bury(bare.connection, bare.manager, {id})
            assert instances.instances_of(bare.connection) == {}
        assert seen[0] < seen[1]


class TestOutage:
    def test_longer_than_the_lease(
        self, short_lease, paused, another, monkeypatch, caplog
    ):
        """Neither this instance nor the other one could write; both live on."""
        short_lease.by = 0.0
        task_id = schedule(len, "x")
        another.begins(task_id)
        transaction.commit()
        failed = Event()

        def fail(*args):
            failed.set()
            raise StorageError("simulated")

        with monkeypatch.context() as patch:
            patch.setattr(paused._p_jar.db().storage, "tpc_begin", fail)
            assert failed.wait(TIMEOUT)
            short_lease.now += 2 * SHORT_LEASE
        until_looked_who_is_alive()
        another.beats()
        transaction.commit()
        assert paused.record(task_id).state == "running"
        assert another.is_known()
        assert not [line for line in caplog.messages if "was silent" in line]


class TestDiscovery:
    def test_finds_the_sites_that_have_tasks(self, idle_site):
        task_id = schedule(len, "x")
        transaction.commit()
        with serving():
            assert get_scheduler().wait(task_id, TIMEOUT).state == "succeeded"

    def test_a_site_that_is_there_all_at_once(self, site):
        with serving():
            install(site)
            assert finished(schedule(len, "x")).state == "succeeded"

    def test_a_scheduler_that_is_retired(self, scheduler, persistent_site):
        until(lambda: outbox.feeder_of(scheduler))
        feeder = outbox.feeder_of(scheduler)
        uninstall(persistent_site)
        transaction.commit()
        outbox.current_watch().wake_up()
        until(lambda: feeder.is_stopping)
        assert get_scheduler().executor is process_executor()

    def test_a_site_that_is_deleted(self, scheduler, persistent_site, monkeypatch):
        until(lambda: outbox.feeder_of(scheduler))
        feeder = outbox.feeder_of(scheduler)
        app = persistent_site.aq_parent
        app._delObject(persistent_site.id)
        setSite(None)
        transaction.commit()
        monkeypatch.setattr(watch_module, "DISCOVERY", 0.0)
        outbox.current_watch().wake_up()
        # Found by the search for sites, or by a look at this one: whichever is first.
        until(lambda: feeder.is_stopping)
        assert outbox.feeder_of(scheduler) is not feeder


class TestTrouble:
    def test_a_site_outlives_an_object_that_is_missing(self, scheduler, caplog):
        missing = StoredTask.__new__(StoredTask)
        scheduler._p_jar._cache.new_ghost(p64(2**40), missing)
        shard = scheduler.shards.of("00")
        key = ("default", 0, "", "", 1)
        shard.turns[key] = missing
        shard.line["default", 0, 1] = missing
        transaction.commit()
        until(lambda: "POSKeyError" in caplog.text)
        del shard.turns[key], shard.line["default", 0, 1]
        transaction.commit()
        assert finished(schedule(len, "x")).state == "succeeded"

    def test_all_is_told_of_what_comes_again(self, scheduler, monkeypatch, caplog):
        """As of a database that is away for the second time."""

        def told():
            told = [r for r in caplog.records if r.getMessage().startswith(LOOKING)]
            return [line.levelname for line in told]

        watch = outbox.current_watch()
        looks = watch._look_at_all
        for times in (1, 2):
            failing = iter([OSError("away")])

            def look(*args, failing=failing):
                for error in failing:
                    raise error
                return looks(*args)

            monkeypatch.setattr(watch, "_look_at_all", look)
            watch.wake_up()
            until(lambda times=times: told() == ["ERROR"] * times)
            assert finished(schedule(len, "x")).state == "succeeded"

    def test_the_thread_outlives_a_subscriber_that_exits(
        self, scheduler, subscribe, caplog
    ):
        def leave(event):
            raise SystemExit("simulated")

        subscribe(ITaskSucceeded, leave)
        task_id = finished(schedule(len, "x")).id
        assert finished(schedule(len, "y")).state == "succeeded"
        assert f"a subscriber failed for task {task_id}" in caplog.text

    def test_two_that_are_the_first_instances_at_once(
        self, idle_site, monkeypatch, caplog
    ):
        """One of them conflicts; that is nothing to complain of."""
        scheduler = get_scheduler()

        def add_at_once(connection, instance):
            add_instance(connection, instance)
            with elsewhere(scheduler) as (mine, manager):
                other = Another(scheduler=mine)
                if not other.is_known():
                    other.joins()
                    manager.commit()

        monkeypatch.setattr(presence, "add_instance", add_at_once)
        with serving():
            until(lambda: len(instances_for(scheduler)) == 2)
        assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_who_is_heard_of_at_the_last_moment_is_not_dead(paused, another):
    task_id = schedule(len, "x")
    another.begins(task_id)
    transaction.commit()
    feeder = outbox.feeder_of(paused)
    with elsewhere(paused) as (mine, manager):
        clock = clock_of(mine._p_jar.db())
        look = Look(feeder, mine, clock, instances_for(mine), 1)
        rescue_all(look, {another.id})
        look.finish()
        assert mine.record(task_id).state == "lost"
        another.beats()
        transaction.commit()
        with pytest.raises(ConflictError):
            manager.commit()
    transaction.begin()
    assert paused.record(task_id).state == "running"
