"""What can be done with the recurring tasks of a site: list, run, switch."""

from collective.background import get_scheduler
from collective.background.exceptions import TaskNotFound
from collective.background.interfaces import IRecurringTask
from collective.background.recurring import listing
from collective.background.recurring import run_now
from collective.background.recurring import switch
from collective.background.recurring.control import switch_off_all
from collective.background.recurring.state import get_state
from collective.background.recurring.state import KEY
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from helpers import finished
from helpers import waiting
from plone.app.testing import TEST_USER_ID
from zope.annotation.interfaces import IAnnotations
from zope.component import getGlobalSiteManager

import calls
import pytest
import transaction


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class TestListing:
    def test_is_empty_without_a_registration(self, site):
        assert listing() == []

    def test_tells_what_was_registered(self, register, database):
        register("b", title="Tidy up")
        register("a", schedule=timedelta(minutes=15))
        first, second = listing()
        assert (first.name, second.name) == ("a", "b")
        assert (first.title, second.title) == ("a", "Tidy up")
        assert (first.schedule, second.schedule) == ("every 0:15:00", "0 * * * *")
        assert second.user == TEST_USER_ID
        assert second.enabled
        assert second.last is None
        assert second.task_id is None

    def test_tells_when_it_ran_and_will_run(self, register, tick_at):
        register()
        tick_at(NOON)
        assert listing()[0].next == NOON + HOUR
        (record,) = tick_at(NOON + HOUR)
        (status,) = listing()
        assert status.last == NOON + HOUR
        assert status.next == NOON + 2 * HOUR
        assert status.task_id == record.id

    def test_leaves_out_those_of_other_add_ons(self, register, site):
        register(add_on="plone.session")
        assert listing() == []

    def test_writes_nothing(self, register, site):
        register()
        listing()
        assert KEY not in IAnnotations(site)
        assert not site._p_jar._registered_objects


class TestRunNow:
    def test_runs_as_its_user_when_the_transaction_commits(self, register, database):
        register(schedule="0 0 1 1 *", user="admin")
        id = run_now("tidy")
        assert calls.made == []
        record = finished(id)
        assert record.state == "succeeded"
        assert calls.made == [("admin", "plone")]
        (status,) = listing()
        assert status.task_id == id
        assert status.last is not None

    def test_an_abort_forgets_it(self, register, database):
        register()
        id = run_now("tidy")
        transaction.abort()
        assert get_scheduler().record(id) is None
        assert listing()[0].last is None

    def test_changes_nothing_about_the_ticks(self, register, tick_at):
        register()
        tick_at(NOON)
        finished(run_now("tidy"))
        assert listing()[0].next == NOON + HOUR

    def test_is_not_started_twice_at_once(self, register, database):
        register()
        with waiting():
            id = run_now("tidy")
            assert run_now("tidy") == id
            transaction.commit()
            assert run_now("tidy") == id
        finished(id)
        assert len(calls.made) == 1
        assert run_now("tidy") != id
        transaction.abort()

    def test_its_tick_is_left_out_meanwhile(self, register, tick_at, look_at):
        register()
        tick_at(NOON)
        with waiting():
            run_now("tidy")
            transaction.commit()
            look_at(NOON + HOUR)
        tick_at(NOON + HOUR)
        assert len(calls.made) == 1

    def test_runs_also_if_it_is_switched_off(self, register, database):
        register()
        switch("tidy", False)
        assert finished(run_now("tidy")).state == "succeeded"

    def test_a_name_that_is_not_there(self, register, site):
        register()
        with pytest.raises(TaskNotFound, match="'tydi' in this site; there are: tidy"):
            run_now("tydi")


class TestSwitch:
    def test_off(self, register, tick_at):
        register()
        tick_at(NOON)
        switch("tidy", False)
        transaction.commit()
        assert tick_at(NOON + HOUR) == []
        (status,) = listing()
        assert not status.enabled
        assert status.next is None

    def test_off_before_it_was_ever_seen(self, register, tick_at):
        register()
        switch("tidy", False)
        transaction.commit()
        assert tick_at(datetime.now(UTC) + 2 * HOUR) == []

    def test_on_again_without_what_was_missed(self, register, tick_at):
        register()
        switch("tidy", False)
        switch("tidy", True)
        transaction.commit()
        now = datetime.now(UTC)
        assert tick_at(now) == []
        assert len(tick_at(now + HOUR)) == 1

    def test_on_when_it_is_on_forgets_no_tick(self, register, tick_at):
        register()
        tick_at(NOON)
        switch("tidy", True)
        transaction.commit()
        assert len(tick_at(NOON + HOUR)) == 1

    def test_an_abort_takes_it_back(self, register, database):
        register()
        switch("tidy", False)
        transaction.abort()
        assert listing()[0].enabled

    def test_a_name_that_is_not_there(self, site):
        with pytest.raises(TaskNotFound, match="there are: none"):
            switch("tidy", False)


class TestSwitchOffAll:
    def test_also_those_whose_code_is_not_there(self, register, database, site):
        register("a")
        register("gone")
        get_state(site, "gone", NOON)
        unregister("gone")
        switch_off_all(site)
        assert [status.enabled for status in listing()] == [False]
        assert not get_state(site, "gone", NOON).enabled

    def test_they_can_be_switched_on_again(self, register, database, site):
        register()
        switch_off_all(site)
        switch("tidy", True)
        assert [status.enabled for status in listing()] == [True]


def unregister(name):
    getGlobalSiteManager().unregisterUtility(provided=IRecurringTask, name=name)
