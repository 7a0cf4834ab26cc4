"""Recurring tasks that tests register, and moments at which they look at them."""

from collective.background import get_scheduler
from collective.background.interfaces import IRecurringTask
from collective.background.recurring.registration import RecurringTask
from collective.background.recurring.schedules import make_schedule
from collective.background.recurring.ticker import tick
from collective.background.testing import drain
from collective.background.testing import scheduled
from plone import api
from zope.component import getGlobalSiteManager
from zope.component import globalSiteManager

import calls
import pytest
import transaction


@pytest.fixture(autouse=True)
def no_leftovers():
    """No test sees the calls, or the registrations, of another one."""
    calls.made.clear()
    yield
    for registry in {globalSiteManager, getGlobalSiteManager()}:
        for name, _ in list(registry.getUtilitiesFor(IRecurringTask)):
            registry.unregisterUtility(provided=IRecurringTask, name=name)


@pytest.fixture
def register():
    """Return a function that registers ``calls.tidy``, or another one.

    It runs each hour, in all sites with the package, as the test user, unless the
    options say otherwise.
    """

    def register(name="tidy", schedule="0 * * * *", **options):
        task = RecurringTask(
            **{
                "name": name,
                "function": calls.tidy,
                "schedule": make_schedule(schedule),
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


@pytest.fixture
def tick_at(database):
    """Return a function that does what the ticker does at a moment.

    It returns the records of the tasks that were started, when they have ended.
    """

    def tick_at(moment):
        with scheduled() as records:
            tick(database, moment)
        drain()
        kept = [get_scheduler().record(record.id) for record in records]
        return [record for record in kept if record is not None]

    return tick_at
