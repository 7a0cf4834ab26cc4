"""Two sites of one process, both with their tasks in the database."""

from another import until
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database import outbox
from collective.background.database.instances import instances_for
from collective.background.executing.executor import process_executor
from collective.background.testing import serving
from gated_tasks import gated
from helpers import finished
from helpers import TIMEOUT
from OFS.SimpleItem import SimpleItem
from plone.app.testing import login
from plone.app.testing import SITE_OWNER_NAME
from plone.base.interfaces import IPloneSiteRoot
from zope.component.hooks import setSite
from zope.interface import implementer

import pytest
import threading
import transaction


@pytest.fixture
def schedulers(idle_site):
    """The schedulers of both; in each three tasks wait that stand at the gate."""
    app = idle_site.aq_parent
    login(app, SITE_OWNER_NAME)
    app.manage_pasteObjects(app.manage_copyObjects([idle_site.id]))
    found = []
    for site in (idle_site, app["copy_of_plone"]):
        setSite(site)
        for _ in range(3):
            schedule(gated)
        found.append(get_scheduler())
    transaction.commit()
    yield found
    transaction.abort()
    setSite(idle_site)


@pytest.fixture
def running(schedulers, gates):
    """The process serves, and has taken tasks of both."""
    with serving():
        until(lambda: all(outbox.feeder_of(each) for each in schedulers))
        feeders = [outbox.feeder_of(scheduler) for scheduler in schedulers]
        until(lambda: all(feeder.held for feeder in feeders))
        gates.wait()
        yield feeders
        gates.opened.set()


def test_they_share_the_slots(schedulers, running, gates):
    queue = process_executor().dispatcher.queues["default"]
    until(lambda: len(queue.threads) == queue.slots)
    assert sum(len(feeder.held.running()) for feeder in running) <= queue.slots
    gates.opened.set()
    for scheduler in schedulers:
        scheduler.wait_all(TIMEOUT)
    transaction.begin()
    for scheduler in schedulers:
        assert scheduler.count(states="succeeded") == 3


@implementer(IPloneSiteRoot)
class BrokenSite(SimpleItem):
    """Comes before the other one, and has lost its registry."""

    id = "a_broken_site"

    def getSiteManager(self):
        raise LookupError("simulated")


def test_one_that_is_broken_does_not_stop_the_others(idle_site, caplog):
    idle_site.aq_parent._setObject(BrokenSite.id, BrokenSite())
    transaction.commit()
    with serving():
        assert finished(schedule(len, "x")).state == "succeeded"
    assert "the site a_broken_site cannot be looked at" in caplog.messages


def test_they_share_a_thread_and_a_heartbeat(schedulers, running):
    watches = [t for t in threading.enumerate() if t.name == "background-watch"]
    assert len(watches) == 1
    for scheduler in schedulers:
        assert list(instances_for(scheduler)) == [process_executor().instance]
