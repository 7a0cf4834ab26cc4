"""Each tick starts its task once, whatever happens in between."""

from collective.background import get_scheduler
from collective.background.exceptions import ShuttingDown
from collective.background.interfaces import ITaskScheduled
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.scheduler import TransactionalScheduler
from collective.background.recurring import switch
from collective.background.recurring.state import find_state
from collective.background.recurring.state import KEY
from collective.background.recurring.ticker import Ticker
from collective.background.testing import drain
from contextlib import contextmanager
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from helpers import TIMEOUT
from helpers import Voter
from plone import api
from plone.app.testing import SITE_OWNER_NAME
from plone.app.testing import TEST_USER_ID
from plone.base.utils import get_installer
from plone.registry.interfaces import IRegistry
from Products.CMFPlone.factory import addPloneSite
from threading import Barrier
from threading import Thread
from zope.annotation.interfaces import IAnnotations
from zope.component import getGlobalSiteManager
from zope.component import getUtility
from zope.component.hooks import setSite
from zope.component.hooks import site as in_site

import calls
import logging
import pytest
import transaction


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

TIDIED = (TEST_USER_ID, "plone")


@contextmanager
def at_schedule(function):
    """Call ``function(record)`` in the transaction that schedules a task."""

    def handler(event):
        function(event.record)

    site_manager = getGlobalSiteManager()
    site_manager.registerHandler(handler, (ITaskScheduled,))
    try:
        yield
    finally:
        site_manager.unregisterHandler(handler, (ITaskScheduled,))


class OvertakenSchedule:
    """Each hour. Calls ``function()`` when it is asked for the n-th time."""

    def __init__(self, n, function):
        self._left = n
        self._function = function

    def next(self, after, zone):
        self._left -= 1
        if self._left == 0:
            self._function()
        return after + HOUR


@pytest.fixture
def state_of(site):
    """Return a function that returns the committed state of a task."""

    def state_of(name):
        transaction.begin()
        return find_state(site, name)

    return state_of


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, "collective.background.recurring")

    def warnings():
        return [
            record.getMessage()
            for record in caplog.records
            if record.name.startswith("collective.background.recurring")
        ]

    return warnings


class TestDue:
    def test_starts_at_its_tick_and_not_before(self, register, tick_at):
        register()
        assert tick_at(NOON + SECOND) == []
        assert tick_at(NOON + HOUR - SECOND) == []
        (record,) = tick_at(NOON + HOUR)
        assert record.state == "succeeded"
        assert calls.made == [TIDIED]

    def test_the_same_tick_only_once(self, register, tick_at):
        register()
        tick_at(NOON)
        assert len(tick_at(NOON + HOUR)) == 1
        assert tick_at(NOON + HOUR) == []
        assert tick_at(NOON + HOUR + SECOND) == []
        assert len(tick_at(NOON + 2 * HOUR)) == 1

    def test_the_time_is_that_of_the_site(self, register, tick_at):
        register(schedule="30 14 * * *")  # 12:30 in UTC
        tick_at(NOON)
        assert tick_at(NOON + timedelta(minutes=29)) == []
        assert len(tick_at(NOON + timedelta(minutes=30))) == 1

    def test_an_interval_begins_when_it_is_first_seen(self, register, tick_at):
        register(schedule=timedelta(minutes=90))
        tick_at(NOON)
        assert tick_at(NOON + HOUR) == []
        assert len(tick_at(NOON + 1.5 * HOUR)) == 1
        assert tick_at(NOON + 2.5 * HOUR) == []
        assert len(tick_at(NOON + 3 * HOUR)) == 1

    def test_several_at_once(self, register, tick_at):
        register("tidy")
        register("other", function=calls.other)
        tick_at(NOON)
        assert len(tick_at(NOON + HOUR)) == 2
        assert sorted(map(str, calls.made)) == sorted([str(TIDIED), "other"])

    def test_says_when_to_come_back(self, register, look_at):
        register(schedule="0 * * * *")
        register("other", schedule=timedelta(seconds=20))
        assert look_at(NOON) == 20

    def test_a_minute_later_at_the_latest(self, register, look_at):
        """Another process may have switched something on."""
        register()
        assert look_at(NOON) == 60


class TestDaylightSaving:
    """02:30 each day, on the days on which the clocks of Vienna change."""

    @pytest.mark.parametrize(
        "day,moments",
        [
            ("2026-03-28", ["02:30+01:00"]),
            ("2026-03-29", ["03:00+02:00"]),
            ("2026-10-24", ["02:30+02:00"]),
            ("2026-10-25", ["02:30+02:00"]),
            ("2026-10-26", ["02:30+01:00"]),
        ],
    )
    def test_runs_once_a_day(self, register, tick_at, day, moments):
        register(schedule="30 2 * * *")
        midnight = datetime.fromisoformat(f"{day}T00:00Z") - 2 * HOUR
        tick_at(midnight)
        quarters = [midnight + n * HOUR / 4 for n in range(1, 4 * 24)]
        started = [quarter for quarter in quarters if tick_at(quarter)]
        assert started == [datetime.fromisoformat(f"{day}T{m}") for m in moments]


class TestMissed:
    def test_ticks_that_were_missed_run_once(self, register, tick_at):
        register()
        tick_at(NOON)
        assert len(tick_at(NOON + 10.5 * HOUR)) == 1
        assert tick_at(NOON + 10.6 * HOUR) == []
        assert len(tick_at(NOON + 11 * HOUR)) == 1

    def test_the_same_with_an_interval(self, register, tick_at):
        register(schedule=HOUR)
        tick_at(NOON)
        assert len(tick_at(NOON + 10.5 * HOUR)) == 1
        assert tick_at(NOON + 11 * HOUR) == []
        assert len(tick_at(NOON + 11.5 * HOUR)) == 1

    def test_none_was_missed_before_it_was_registered(self, register, tick_at):
        register(schedule="0 0 1 1 *")
        assert tick_at(NOON) == []


class TestClock:
    """That of the database. For those of instances see ``test_ticker_clocks.py``."""

    def test_a_minute_back_repeats_nothing(self, register, tick_at, warnings):
        register()
        tick_at(NOON)
        tick_at(NOON + HOUR)
        assert tick_at(NOON + HOUR - 60 * SECOND) == []
        assert tick_at(NOON + HOUR) == []
        assert len(tick_at(NOON + 2 * HOUR)) == 1
        assert warnings() == []

    @pytest.mark.parametrize("ahead", [61 * SECOND, HOUR / 6, 365 * DAY])
    def test_what_was_done_further_ahead_does_not_stop_it(
        self, register, tick_at, warnings, ahead
    ):
        register(schedule="* * * * *")
        tick_at(NOON + ahead)
        assert tick_at(NOON) == []
        (line,) = warnings()
        assert "'tidy' of /plone was done up to" in line
        assert "the clock was wrong" in line
        assert len(tick_at(NOON + 60 * SECOND)) == 1
        assert len(warnings()) == 1


class TestUser:
    def test_runs_as_the_named_user(self, register, tick_at):
        register(user=SITE_OWNER_NAME)
        tick_at(NOON)
        (record,) = tick_at(NOON + HOUR)
        assert record.user_id == SITE_OWNER_NAME
        assert calls.made == [(SITE_OWNER_NAME, "plone")]

    def test_one_who_does_not_exist_is_told_and_stops_no_others(
        self, register, tick_at, warnings
    ):
        register("aaa", user="nobody-like-that")
        register("tidy")
        tick_at(NOON)
        assert len(tick_at(NOON + HOUR)) == 1
        (line,) = warnings()
        assert "'aaa' of /plone is left out" in line
        assert "'nobody-like-that'" in line
        # Told at each tick, and not each time somebody looks.
        tick_at(NOON + HOUR + SECOND)
        assert len(warnings()) == 1
        tick_at(NOON + 2 * HOUR)
        assert len(warnings()) == 2

    def test_one_who_comes_back_is_found_at_the_next_tick(self, register, tick_at):
        register(user="later")
        tick_at(NOON)
        assert tick_at(NOON + HOUR) == []
        api.user.create(username="later", email="later@example.org")
        transaction.commit()
        assert len(tick_at(NOON + 2 * HOUR)) == 1


class TestNeverTwoAtOnce:
    @pytest.fixture
    def running(self, register, tick_at, look_at):
        """The id of a task that has begun and does not end."""
        calls.Gate.begun.clear()
        calls.Gate.opened.clear()
        register("slow", function=calls.wait_at_gate)
        tick_at(NOON)
        look_at(NOON + HOUR)
        assert calls.Gate.begun.wait(TIMEOUT)
        (record,) = get_scheduler().records(states={"running"})
        yield record.id
        calls.Gate.opened.set()
        drain()

    def test_a_tick_is_left_out_while_the_last_run_has_not_ended(
        self, running, tick_at, look_at, warnings
    ):
        look_at(NOON + 2 * HOUR)
        (line,) = warnings()
        assert running in line
        assert "'slow' of /plone is left out" in line
        calls.Gate.opened.set()
        drain()
        assert calls.made == [running]
        assert tick_at(NOON + 2.5 * HOUR) == []
        assert len(tick_at(NOON + 3 * HOUR)) == 1

    def test_one_that_waits_for_a_slot_counts_too(
        self, register, look_at, tick_at, warnings
    ):
        register()
        tick_at(NOON)
        get_scheduler().pause("default")
        try:
            look_at(NOON + HOUR)
            look_at(NOON + 2 * HOUR)
        finally:
            get_scheduler().resume("default")
        drain()
        assert calls.made == [TIDIED]
        assert len(warnings()) == 1

    def test_it_is_told_once_and_anew_for_the_next_run(
        self, running, look_at, tick_at, warnings, caplog
    ):
        caplog.set_level(logging.DEBUG, "collective.background.recurring")
        levels = []
        for hours in (2, 3, 4):
            caplog.clear()
            look_at(NOON + hours * HOUR)
            levels += [
                record.levelname
                for record in caplog.records
                if "is left out" in record.getMessage()
            ]
        assert levels == ["WARNING", "DEBUG", "DEBUG"]
        calls.Gate.opened.set()
        drain()
        calls.Gate.opened.clear()
        look_at(NOON + 5 * HOUR)
        caplog.clear()
        look_at(NOON + 6 * HOUR)
        (line,) = warnings()
        assert running not in line

    def test_only_the_instance_that_commits_tells(
        self, register, look_at, running, warnings, state_of
    ):
        """Another one is faster, after this one has begun to see to the tick."""

        def overtake():
            other = Thread(target=look_at, args=(NOON + 2 * HOUR,))
            other.start()
            other.join(TIMEOUT)
            assert state_of("slow").done == NOON + 2 * HOUR

        register("slow", schedule=OvertakenSchedule(2, overtake))
        look_at(NOON + 2 * HOUR)
        assert len(warnings()) == 1

    def test_a_run_that_has_failed_does_not_hold_up_the_next(self, register, tick_at):
        register(function=calls.fail)
        tick_at(NOON)
        assert [record.state for record in tick_at(NOON + HOUR)] == ["failed"]
        assert [record.state for record in tick_at(NOON + 2 * HOUR)] == ["failed"]


class TestNoRoom:
    """One task may wait, and the queue is paused."""

    @pytest.fixture
    def pause(self, make_scheduler):
        make_scheduler(max_waiting=1).pause("default")

    def resume(self):
        get_scheduler().resume("default")
        drain()

    def test_one_that_is_refused_does_not_hold_up_the_others(
        self, register, tick_at, look_at, pause, warnings
    ):
        register("one")
        register("two", function=calls.other)
        tick_at(NOON)
        assert look_at(NOON + HOUR) == 60
        (line,) = warnings()
        assert "'two' of /plone has to wait: 1 tasks are waiting already" in line
        self.resume()
        assert calls.made == [TIDIED]

    def test_it_is_tried_again_at_the_next_look(
        self, register, tick_at, look_at, pause
    ):
        register("one")
        register("two", function=calls.other)
        tick_at(NOON)
        look_at(NOON + HOUR)
        self.resume()
        for seconds in (60, 120):
            look_at(NOON + HOUR + seconds * SECOND)
            drain()
        assert calls.made == [TIDIED, "other"]

    def test_it_is_told_once(
        self, register, tick_at, database, standing_clock, pause, warnings
    ):
        register("one")
        register("two")
        tick_at(NOON)
        standing_clock.moment = NOON + HOUR
        ticker = Ticker(database)
        for _ in range(3):
            ticker.look()
        assert len(warnings()) == 1
        self.resume()


class TestCluster:
    def test_two_instances_at_the_same_tick(self, register, tick_at, look_at):
        """Both have scheduled the task before one of them commits."""
        register()
        tick_at(NOON)
        both = Barrier(2, timeout=TIMEOUT)
        met = []

        def meet(record):
            both.wait()
            met.append(record.id)

        instances = [Thread(target=look_at, args=(NOON + HOUR,)) for _ in range(2)]
        with at_schedule(meet):
            for instance in instances:
                instance.start()
            for instance in instances:
                instance.join(TIMEOUT)
        drain()
        assert len(met) == 2
        assert calls.made == [TIDIED]
        kept = [id for id in met if get_scheduler().record(id)]
        assert len(kept) == 1

    def test_many_instances_and_many_tasks(self, register, look_at, warnings):
        """They begin together, with a site in which nothing was ever started."""
        names = ["one", "two", "three", "four", "five"]
        for name in names:
            register(name)
        for moment in (NOON, NOON + HOUR):
            instances = [Thread(target=look_at, args=(moment,)) for _ in names]
            for instance in instances:
                instance.start()
            for instance in instances:
                instance.join(TIMEOUT)
        drain()
        assert calls.made == [TIDIED] * len(names)
        assert warnings() == []


class TestRestart:
    @pytest.fixture
    def restart(self):
        """Return a function after which a new process knows nothing of tasks.

        Each has a scheduler of its own, as has the first one.
        """
        site_manager = getGlobalSiteManager()
        usual = site_manager.getUtility(ITransactionalScheduler)

        def restart():
            get_scheduler().wait_all(TIMEOUT)
            site_manager.registerUtility(
                TransactionalScheduler(settings=usual.settings),
                ITransactionalScheduler,
            )

        restart()
        yield restart
        get_scheduler().wait_all(TIMEOUT)
        site_manager.registerUtility(usual, ITransactionalScheduler)

    def test_what_was_done_is_not_done_again(self, register, tick_at, restart):
        register()
        tick_at(NOON)
        tick_at(NOON + HOUR)
        restart()
        assert tick_at(NOON + HOUR + SECOND) == []
        assert len(tick_at(NOON + 2 * HOUR)) == 1

    def test_what_was_missed_meanwhile_runs_once(self, register, tick_at, restart):
        register()
        tick_at(NOON)
        restart()
        assert len(tick_at(NOON + 30 * HOUR)) == 1
        restart()
        assert tick_at(NOON + 30 * HOUR + SECOND) == []

    def test_a_task_that_died_with_its_process_is_not_waited_for(
        self, register, tick_at, look_at, restart
    ):
        register()
        tick_at(NOON)
        get_scheduler().pause("default")
        look_at(NOON + HOUR)
        get_scheduler().drain(0)
        restart()
        assert len(tick_at(NOON + 2 * HOUR)) == 1

    def test_a_process_that_is_about_to_stop_leaves_the_tick_to_the_next(
        self, register, tick_at, look_at, restart
    ):
        register()
        tick_at(NOON)
        get_scheduler().drain(0)
        with pytest.raises(ShuttingDown):
            look_at(NOON + HOUR)
        restart()
        assert len(tick_at(NOON + HOUR)) == 1

    def test_a_commit_that_fails_leaves_the_tick_to_the_next(
        self, register, tick_at, look_at
    ):
        register()
        tick_at(NOON)

        def refuse():
            raise OSError("no space left on the device")

        with at_schedule(lambda record: transaction.get().join(Voter(refuse))):
            assert look_at(NOON + HOUR) == 60
        drain()
        assert calls.made == []
        assert len(tick_at(NOON + HOUR + timedelta(minutes=1))) == 1


class TestSites:
    def test_nothing_is_stored_without_a_registration(self, site, tick_at):
        tick_at(NOON)
        assert KEY not in IAnnotations(site)

    def test_looking_writes_only_when_a_tick_is_done(
        self, register, site, database, tick_at
    ):
        register()
        tick_at(NOON)
        before = database.lastTransaction()
        tick_at(NOON + SECOND)
        assert database.lastTransaction() == before

    def test_a_site_without_the_package_is_left_alone(self, register, site, tick_at):
        register()
        get_installer(site).uninstall_product("collective.background")
        transaction.commit()
        tick_at(NOON)
        assert tick_at(NOON + HOUR) == []
        assert KEY not in IAnnotations(site)

    def test_uninstalling_forgets_what_was_stored(self, register, site, tick_at):
        annotations = set(IAnnotations(site))
        register()
        tick_at(NOON)
        assert set(IAnnotations(site)) - annotations == {KEY}
        get_installer(site).uninstall_product("collective.background")
        assert set(IAnnotations(site)) == annotations

    def test_one_that_is_switched_off_does_not_run(self, register, site, tick_at):
        register()
        tick_at(NOON)
        switch("tidy", False)
        transaction.commit()
        assert tick_at(NOON + HOUR) == []


class TestSeveralSites:
    @pytest.fixture
    def second(self, site, database):
        """A site in a folder, besides the one of the layer."""
        app = site.getPhysicalRoot()
        app.manage_addFolder("area")
        second = addPloneSite(
            app.area, "second", extension_ids=("collective.background:default",)
        )
        setSite(site)  # the factory has set the new one
        transaction.commit()
        return second

    def test_each_runs_it_on_its_own_account(self, register, second, tick_at):
        register(user=SITE_OWNER_NAME)
        tick_at(NOON)
        assert len(tick_at(NOON + HOUR)) == 2
        assert sorted(calls.made) == [("admin", "plone"), ("admin", "second")]
        with in_site(second):
            switch("tidy", False)
        transaction.commit()
        (record,) = tick_at(NOON + 2 * HOUR)
        assert record.site_path == "/plone"

    def test_one_that_cannot_be_asked_does_not_stop_the_others(
        self, register, second, tick_at, warnings
    ):
        register(user=SITE_OWNER_NAME)
        tick_at(NOON)
        records = getUtility(IRegistry).records
        records._values["plone.portal_timezone"] = "Mars/Olympus"
        transaction.commit()
        (record,) = tick_at(NOON + HOUR)
        assert record.site_path == "/area/second"
        (warning,) = warnings()
        assert warning.startswith("recurring tasks of /plone are not started, for now:")

    def test_one_that_cannot_be_asked_again_is_told_of_anew(
        self, register, site, database, standing_clock, warnings
    ):
        register()
        standing_clock.moment = NOON
        ticker = Ticker(database)
        values = getUtility(IRegistry).records._values
        right = values["plone.portal_timezone"]
        for zone in ("Mars/Olympus", "Mars/Olympus", right, "Mars/Olympus"):
            values["plone.portal_timezone"] = zone
            transaction.commit()
            ticker.look()
        assert len(warnings()) == 2


def test_the_state_is_a_small_object_of_its_own(register, state_of, tick_at):
    """So that a tick writes nothing else, and conflicts with nothing else."""
    register("tidy")
    register("other", schedule="0 0 1 1 *")
    tick_at(NOON)
    (record,) = tick_at(NOON + HOUR)
    assert state_of("tidy").last == NOON + HOUR
    assert state_of("tidy").done == NOON + HOUR
    assert state_of("tidy").task_id == record.id
    assert state_of("other").last is None
    assert state_of("other")._p_serial != state_of("tidy")._p_serial
