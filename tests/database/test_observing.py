"""Who is alive, as somebody sees it who is no instance himself."""

from collective.background.capture.snapshot import find_database
from collective.background.database import observing
from collective.background.database.instances import add_instance
from collective.background.database.instances import Instance
from collective.background.database.instances import instance_of
from collective.background.database.observing import observe
from time import time

import pytest


LEASE = 0.6  # seconds; a heartbeat is due after a sixth
AHEAD = 600.0  # seconds


@pytest.fixture
def database(site, monkeypatch):
    monkeypatch.setattr(observing, "SLACK", 1.0)
    return find_database()


@pytest.fixture
def instances(database):
    with database.transaction() as connection:
        for id in ("a", "b"):
            add_instance(connection, Instance(id, "all", {"default": 2}))
    return ("a", "b")


@pytest.fixture
def ahead(monkeypatch):
    """The clock of this machine is wrong."""
    monkeypatch.setattr(observing, "time", lambda: time() + AHEAD)


def beats(database, monkeypatch, *ids):
    """Let these instances tell that they are alive while somebody waits for it."""

    class Beating:
        def wait(self, seconds):
            with database.transaction() as connection:
                for id in ids:
                    instance_of(connection, id).beat += 1

    monkeypatch.setattr(observing, "Event", Beating)


def test_nobody(database):
    observed = observe(database, LEASE)
    assert (observed.beating, observed.silent) == ({}, frozenset())
    assert observed.offset is None


def test_who_has_told_so_lately_is_alive(database, instances, monkeypatch):
    monkeypatch.setattr(observing, "Event", None)  # nobody waits
    observed = observe(database, LEASE)
    assert observed.beating == {id: {"default": 2} for id in instances}
    assert observed.silent == frozenset()
    assert observed.offset == pytest.approx(0, abs=5)


def test_clocks_that_differ_kill_nobody(database, instances, ahead, monkeypatch):
    beats(database, monkeypatch, *instances)
    observed = observe(database, LEASE)
    assert set(observed.beating) == set(instances)
    assert observed.offset == pytest.approx(-AHEAD, abs=5)


def test_who_was_silent_for_long(database, instances, ahead, monkeypatch):
    monkeypatch.setattr(observing, "SLACK", 0.2)
    beats(database, monkeypatch, "a")
    observed = observe(database, LEASE)
    assert set(observed.beating) == {"a"}
    assert observed.silent == {"b"}


def test_all_of_them(database, instances, ahead, monkeypatch):
    monkeypatch.setattr(observing, "SLACK", 0.0)
    observed = observe(database, LEASE)
    assert (observed.beating, observed.silent) == ({}, set(instances))
    assert observed.offset is None


def test_the_longest_lease_says_how_long_to_wait(
    database, instances, ahead, monkeypatch
):
    monkeypatch.setattr(observing, "SLACK", 0.0)
    with database.transaction() as connection:
        instance_of(connection, "a").lease = 60.0
    beats(database, monkeypatch, *instances)
    observed = observe(database, lease=0.0)
    assert set(observed.beating) == set(instances)
    assert observed.leases == {"a": 60.0}


def test_nothing_is_written(database, instances):
    before = database.lastTransaction()
    observe(database, LEASE)
    assert database.lastTransaction() == before


def test_who_sends_tasks_to_workers_of_celery(database, instances):
    with database.transaction() as connection:
        a, b = (instance_of(connection, id) for id in instances)
        a.relays, b.relays = ("default",), ("default", "mail")
        b.is_cut_off = True
    observed = observe(database, LEASE)
    assert observed.relayed == {"default", "mail"}
    assert observed.cut_off == {"b"}
    assert observed.slots == {"default": 4}
