"""Recurring tasks that tests register, and moments at which they look at them."""

from collective.background import get_scheduler
from collective.background.executing.clock import Clock
from collective.background.interfaces import IRecurringTask
from collective.background.recurring import ticker
from collective.background.recurring.registration import decorated
from collective.background.recurring.registration import RecurringTask
from collective.background.recurring.schedules import make_schedule
from collective.background.recurring.ticker import Ticker
from collective.background.testing import drain
from collective.background.testing import scheduled
from datetime import timedelta
from plone import api
from zope.component import getGlobalSiteManager

import calls
import pytest
import transaction


@pytest.fixture(autouse=True)
def no_leftovers():
    """No test sees the calls, or the registrations, of another one."""
    calls.made.clear()
    before = dict(decorated)
    decorated.clear()
    yield
    decorated.clear()
    decorated.update(before)
    registry = getGlobalSiteManager()
    for name, _ in list(registry.getUtilitiesFor(IRecurringTask)):
        registry.unregisterUtility(provided=IRecurringTask, name=name)


@pytest.fixture
def register():
    """Return a function that registers ``calls.tidy``, or another one.

    It runs each hour, in all sites with the package, as the test user, unless the
    options say otherwise.
    """

    def register(name="tidy", schedule="0 * * * *", **options):
        if isinstance(schedule, str | timedelta):
            schedule = make_schedule(schedule)
        task = RecurringTask(
            **{
                "name": name,
                "function": calls.tidy,
                "schedule": schedule,
                "user": "test_user_1_",
                "add_on": "collective.background",
                **options,
            }
        )
        getGlobalSiteManager().registerUtility(task, IRecurringTask, name)
        return task

    return register


@pytest.fixture
def database(site):
    """The database of the site, whose clocks are those of Vienna."""
    api.portal.set_registry_record("plone.portal_timezone", "Europe/Vienna")
    transaction.commit()
    return site._p_jar.db()


class StandingClock(Clock):
    """Stands still, at the moment that a test wants."""

    moment = None
    is_measured = True

    def now(self):
        return self.moment


@pytest.fixture
def standing_clock(monkeypatch):
    """What the ticker takes for the common clock."""
    clock = StandingClock()
    monkeypatch.setattr(ticker, "clock_of", lambda database: clock)
    return clock


@pytest.fixture
def look_at(database, standing_clock):
    """Return a function that does what the ticker of an instance does at a moment.

    It returns for how many seconds the ticker would wait.
    """

    def look_at(moment):
        standing_clock.moment = moment
        return Ticker(database).look()

    return look_at


@pytest.fixture
def tick_at(look_at):
    """Return a function that does the same, and waits for the tasks to end.

    It returns the records of those that were started.
    """

    def tick_at(moment):
        with scheduled() as records:
            look_at(moment)
        drain()
        kept = [get_scheduler().record(record.id) for record in records]
        return [record for record in kept if record is not None]

    return tick_at
