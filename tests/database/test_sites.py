"""Two sites of one process, both with their tasks in the database."""

from another import until
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database import outbox
from collective.background.database.instances import instances_for
from collective.background.executing.executor import process_executor
from collective.background.testing import serving
from gated_tasks import gated
from helpers import TIMEOUT
from plone.app.testing import login
from plone.app.testing import SITE_OWNER_NAME
from zope.component.hooks import setSite

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
    assert sum(len(feeder.running()) for feeder in running) <= queue.slots
    gates.opened.set()
    for scheduler in schedulers:
        scheduler.wait_all(TIMEOUT)
    transaction.begin()
    for scheduler in schedulers:
        assert scheduler.count(states="succeeded") == 3


def test_they_share_a_thread_and_a_heartbeat(schedulers, running):
    watches = [t for t in threading.enumerate() if t.name == "background-watch"]
    assert len(watches) == 1
    for scheduler in schedulers:
        assert list(instances_for(scheduler)) == [process_executor().instance]
