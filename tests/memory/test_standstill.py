"""Tasks of a site that belongs to another deployment, while they are in memory."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.deployment import adopt
from collective.background.environment.sites import stored_site
from collective.background.executing.deployment import assign
from collective.background.executing.deployment import foreign_sites
from collective.background.memory import standstill
from contextlib import contextmanager
from helpers import finished
from helpers import TIMEOUT
from threading import Event
from ZODB.POSException import ReadConflictError

import pytest
import transaction


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """The site is looked at all the time."""
    monkeypatch.setattr(standstill, "PAUSE", 0.01)


@pytest.fixture
def adopted(copied):
    """Return a function that adopts the copy, and waits for a task to end."""

    def adopted(task_id):
        adopt(copied)
        return finished(task_id)

    yield adopted
    adopt(copied)
    transaction.commit()
    get_scheduler().wait_all(TIMEOUT)


def has_seen_it():
    return foreign_sites() == {"/plone": "production"}


def test_they_wait_until_the_site_is_adopted(adopted, until):
    ids = [schedule(len, "x") for _ in range(5)]
    transaction.commit()
    until(has_seen_it)
    ids.append(schedule(len, "x"))
    transaction.commit()
    scheduler = get_scheduler()
    assert {scheduler.record(id).state for id in ids} == {"queued"}
    adopted(ids[0])
    scheduler.wait_all(TIMEOUT)
    assert {scheduler.record(id).state for id in ids} == {"succeeded"}


def test_they_wait_in_no_slot(adopted, until):
    scheduler = get_scheduler()
    task_id = schedule(len, "x")
    transaction.commit()
    until(has_seen_it)
    until(lambda: {queue.running for queue in scheduler.queues()} == {0})
    assert scheduler.record(task_id).attempts == 0


def test_they_can_be_cancelled(adopted, until):
    task_id = schedule(len, "x")
    transaction.commit()
    until(has_seen_it)
    assert get_scheduler().cancel(task_id).state == "cancelled"
    assert adopted(task_id).state == "cancelled"


def test_a_task_that_waits_for_another_attempt(site, staging, until):
    """The site was nobody's at the first one."""
    begun, free = Event(), Event()

    def work():
        if not begun.is_set():
            begun.set()
            assert free.wait(TIMEOUT)
            raise ValueError("simulated")

    task_id = using(retries=1, backoff=0.001).schedule(work)
    transaction.commit()
    assert begun.wait(TIMEOUT)
    assign(site, "production")
    transaction.commit()
    free.set()
    until(has_seen_it)
    assert get_scheduler().record(task_id).state == "retrying"
    adopt(site)
    assert finished(task_id).state == "succeeded"


def test_they_wait_while_the_site_cannot_be_looked_at(site, monkeypatch, until):
    """Nothing begins before it is known that it may."""
    asked = []

    @contextmanager
    def away(database, path):
        asked.append(path)
        raise ReadConflictError
        yield

    with monkeypatch.context() as patch:
        patch.setattr(standstill, "stored_site", away)
        task_id = schedule(len, "x")
        transaction.commit()
        until(lambda: len(asked) > 2)
        assert get_scheduler().record(task_id).state == "queued"
    assert finished(task_id).state == "succeeded"


def test_what_is_not_there_says_so_itself(site):
    database = site._p_jar.db()
    with stored_site(database, "/no/site") as found:
        assert found is None
    with stored_site(database, "/plone") as found:
        assert found._p_oid == site._p_oid
