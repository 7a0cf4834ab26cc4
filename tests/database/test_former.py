"""Databases that were made before the first release."""

from another import until
from BTrees.OOBTree import OOBTree
from BTrees.OOBTree import OOTreeSet
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database import former
from collective.background.database.installing import install
from collective.background.database.installing import uninstall
from collective.background.database.scheduler import PersistentTransactionalScheduler
from collective.background.showing.visibility import visible_records
from collective.background.testing import serving
from helpers import finished
from persistent import Persistent
from types import ModuleType

import pytest
import sys
import transaction


FORMER = "collective.background.persistent"
GONE = (
    "3 unfinished tasks of a format before the first release are gone; schedule them "
    "again"
)
FIRST, LAST = (), ("\U0010ffff",)


def former_class(module, name):
    """Return a class that was in a module of that time."""
    path = f"{FORMER}.{module}"
    module = sys.modules.setdefault(path, ModuleType(path))
    cls = type(name, (Persistent,), {"__module__": path})
    setattr(module, name, cls)
    return cls


def tree_of(cls, count):
    """Return a tree with so many tasks of a class, as it was then."""
    tasks = {("queued", -number): cls() for number in range(count)}
    return OOBTree({FIRST: None, LAST: None, **tasks})


def make_former(scheduler, *, tasks, ended):
    """Give a scheduler the state that it would have had then."""
    Shards, Shard = former_class("shards", "Shards"), former_class("shards", "Shard")
    Task = former_class("tasks", "StoredTask")
    shard = Shard()
    shard.tasks, shard.expiring = tree_of(Task, tasks), tree_of(Task, ended)
    shards = Shards()
    shards._shards = (shard,)
    scheduler.__dict__.clear()
    scheduler.shards = shards
    scheduler.groups = OOBTree({"": None, "a": former_class("groups", "StoredGroup")()})
    scheduler.instances_by_id = OOBTree({"": None})
    scheduler.paused = OOTreeSet(["", "mail"])


@pytest.fixture
def former_site(site, monkeypatch):
    """A site with a scheduler of that time: three tasks of four have not ended."""
    with monkeypatch.context() as patch:
        patch.setattr(
            PersistentTransactionalScheduler, "__module__", f"{FORMER}.scheduler"
        )
        install(site)
        make_former(get_scheduler(), tasks=4, ended=1)
        transaction.commit()
    for module in ("shards", "tasks", "groups"):
        del sys.modules[f"{FORMER}.{module}"]
    site._p_jar.cacheMinimize()
    transaction.begin()
    return site


class TestOfSite:
    def test_it_is_read_as_empty(self, former_site):
        """Without a write, which a visitor's page must not make."""
        scheduler = get_scheduler()
        assert visible_records() == []
        assert scheduler.count() == 0
        assert {queue.waiting for queue in scheduler.queues()} == {0}
        assert scheduler.record("0" * 32) is None
        assert not scheduler._p_changed
        assert former_site.title

    def test_it_is_used_as_any_other(self, former_site, caplog):
        task_id = schedule(len, "abc")
        transaction.commit()
        assert GONE in caplog.messages
        with serving():
            assert finished(task_id).state == "succeeded"
        scheduler = get_scheduler()
        scheduler._p_jar.cacheMinimize()
        transaction.begin()
        assert scheduler.record(task_id).state == "succeeded"
        assert "mail" in scheduler.paused
        assert caplog.messages.count(GONE) == 1

    def test_who_serves_begins_it_anew(self, former_site, caplog):
        with serving():
            until(lambda: GONE in caplog.messages)
        assert caplog.messages.count(GONE) == 1

    def test_its_queues_can_be_paused(self, former_site):
        get_scheduler().pause("default")
        transaction.begin()
        get_scheduler()._p_jar.cacheMinimize()
        assert set(get_scheduler().paused) == {"", "mail", "default"}

    def test_it_can_be_taken_away(self, former_site):
        uninstall(former_site)
        transaction.commit()
        assert not isinstance(get_scheduler(), PersistentTransactionalScheduler)


def unfinished(caplog):
    """Return what is told of unfinished tasks."""
    return [line for line in caplog.messages if "unfinished tasks" in line]


class TestTell:
    """What is told of the states of several former formats."""

    @pytest.mark.parametrize(
        "shard, number",
        [
            ({"tasks": {"": None, "a": 1, "b": 1}, "expiring": {2: None, 1: 1}}, "1"),
            ({"waiting": {(): None, ("queued", -1): 1, ("queued", -2): 1}}, "2"),
            ({"something": "else"}, "an unknown number of"),
        ],
    )
    def test_unfinished_tasks(self, caplog, shard, number):
        former.tell({"shards": Stored(_shards=(Stored(**shard),))})
        (line,) = unfinished(caplog)
        assert line.startswith(number)

    def test_if_there_are_none(self, caplog):
        shard = Stored(tasks={"": None, "a": 1}, expiring={1: 1})
        former.tell({"shards": Stored(_shards=(shard,))})
        assert unfinished(caplog) == []


class Stored(Persistent):
    def __init__(self, **attributes):
        vars(self).update(attributes)
