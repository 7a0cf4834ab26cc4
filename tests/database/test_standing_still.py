"""What a process leaves alone in a site that belongs to another deployment."""

from another import Another
from another import until
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.database import outbox
from collective.background.database.instances import instances_for
from collective.background.deployment import adopt
from collective.background.executing.deployment import assign
from collective.background.executing.deployment import foreign_sites
from collective.background.executing.executor import process_executor
from collective.background.testing import serving
from gated_tasks import gated
from helpers import TIMEOUT

import pytest
import transaction


@pytest.fixture
def standing(idle_site, copied):
    """The process serves, and has looked at the copy; the value is its Feeder.

    An instance that is dead had reserved and begun a task each when it was copied.
    """
    ids = [using(rerun=True).schedule(len, "x") for _ in range(2)]
    transaction.commit()
    other = Another().joins()
    other.reserves(ids[0])
    other.begins(ids[1])
    transaction.commit()
    with serving():
        yield looked_at(get_scheduler())
        transaction.abort()


def looked_at(scheduler):
    """Return the Feeder of a scheduler, after two more looks."""
    until(lambda: outbox.feeder_of(scheduler))
    feeder = outbox.feeder_of(scheduler)
    for _ in range(2):
        look_again(feeder)
    return feeder


def look_again(feeder):
    """Wait until the process has looked at the site once more."""
    feeder.paused = None
    outbox.current_watch().wake_up()
    until(lambda: feeder.paused is not None)


def last_transaction():
    return get_scheduler()._p_jar.db().storage.lastTransaction()


def test_it_writes_nothing_at_all(standing):
    before = last_transaction()
    for _ in range(3):
        look_again(standing)
    assert last_transaction() == before
    assert standing.is_foreign
    assert not standing.held


def test_what_is_scheduled_waits(standing):
    task_id = schedule(len, "x")
    transaction.commit()
    look_again(standing)
    assert get_scheduler().record(task_id).state == "queued"
    assert process_executor().instance not in instances_for(get_scheduler())


def test_it_can_be_cancelled_and_read(standing):
    task_id = schedule(len, "x")
    transaction.commit()
    assert get_scheduler().cancel(task_id).state == "cancelled"


def test_nothing_is_forgotten(idle_site, copied, settings):
    settings(keep_count=0)
    task_id = schedule(len, "x")
    transaction.commit()
    scheduler = get_scheduler()
    scheduler.cancel(task_id)
    with serving():
        looked_at(scheduler)
        assert scheduler.record(task_id).state == "cancelled"
        adopt(copied)
        transaction.commit()
        until(lambda: scheduler.record(task_id) is None)


def test_adopted_it_goes_on(short_lease, standing, copied):
    """What others had is taken over, as after any death."""
    scheduler = get_scheduler()
    waiting = schedule(len, "x")
    transaction.commit()
    adopt(copied)
    transaction.commit()
    assert scheduler.wait(waiting, TIMEOUT).state == "succeeded"
    scheduler.wait_all(TIMEOUT)
    transaction.begin()
    assert scheduler.count(states="succeeded") == 3


def test_what_runs_comes_to_its_end(persistent_site, staging, gates):
    """It has begun while the site was nobody's; what has not is given back."""
    running = [schedule(gated) for _ in range(2)]
    waiting = schedule(len, "x")
    transaction.commit()
    scheduler = get_scheduler()
    until(lambda: scheduler.count(states="running") == 2)
    assign(persistent_site, "production")
    transaction.commit()
    feeder = looked_at(scheduler)
    gates.opened.set()
    for task_id in running:
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
    look_again(feeder)
    transaction.begin()
    assert scheduler.record(waiting).state == "queued"
    assert not scheduler.shards.find(waiting).is_reserved


def test_the_log_says_so_once(standing, copied, caplog):
    caplog.set_level("INFO")
    look_again(standing)
    assert foreign_sites() == {"/plone": "production"}
    records = caplog.get_records("setup") + caplog.get_records("call")
    lines = [record.getMessage() for record in records]
    assert sum("nothing runs here for /plone" in line for line in lines) == 1
    adopt(copied)
    transaction.commit()
    until(lambda: not foreign_sites())
    until(lambda: "tasks of /plone run here from now on" in caplog.messages)
