"""Tasks in the database that conflict take turns: one of a kind in the cluster."""

from bare import make_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.capture.snapshot import find_database
from collective.background.database import outbox
from collective.background.database.shard import SHARDS
from collective.background.database.watch import Watch
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import Executor
from collective.background.model.config import Settings
from collective.background.model.conflicts import ALONE
from collective.background.running import outcome
from collective.background.scheduling.contention import OFTEN
from helpers import TIMEOUT
from persistent.mapping import PersistentMapping
from plone import api
from threading import Event
from ZODB.POSException import ConflictError

import pytest
import transaction


def increment():
    """Increment the counter of all tasks of a test; others do it meanwhile."""
    counter = api.portal.get().counter
    value = counter["value"]
    Event().wait(0.003)
    counter["value"] = value + 1


@pytest.fixture
def counter(site):
    site.counter = PersistentMapping(value=0)
    transaction.commit()
    return site.counter


@pytest.fixture
def two_instances(idle_site):
    """Two that execute, with two slots each."""
    watches = [
        Watch(Executor(Settings(concurrency=2)), find_database()) for _ in range(2)
    ]
    for watch in watches:
        watch.start()
    yield
    transaction.abort()
    for watch in watches:
        watch.stop()
    for watch in watches:
        watch.leave(Deadline(TIMEOUT))
    outbox.connect(None)


def test_of_many_all_get_through(counter, two_instances):
    for _ in range(20):
        for _ in range(10):
            schedule(increment)
        transaction.commit()
    scheduler = get_scheduler()
    scheduler.wait_all(TIMEOUT)
    transaction.begin()
    assert counter["value"] == scheduler.count(states="succeeded") == 200


def conflicted(bare, stored):
    """Let a task run, in vain, as a look notes it."""
    shards = bare.scheduler.shards
    task = make_task(lock="own")
    task.conflicts = stored.conflicts
    shards.leave(stored)
    ended = outcome.failed(ConflictError(), retry_in=0.1, conflict=True)
    stored.put_off(ended, task, None)
    shards.wait(stored)


class TestLocks:
    """Which ones a task needs, besides its own."""

    def test_come_with_conflicts(self, bare):
        stored = bare.add(lock="own")
        name = stored.callable
        found = [stored.locks]
        for _ in range(ALONE):
            conflicted(bare, stored)
            found.append(stored.locks)
        assert found[0] == ("own",)
        assert found[1] == ("own", f"conflict: {name}")
        assert found[-1] == ("own", f"conflict: {name}", "conflict")

    def test_go_when_it_is_tried_again_by_hand(self, bare):
        stored = bare.add(lock="own")
        conflicted(bare, stored)
        stored.state = "failed"
        stored.requeue()
        assert stored.locks == ("own",)


class TestSetbacks:
    @pytest.mark.parametrize(
        ("setback", "counts"),
        [("outage", (2, 1, 1)), ("conflict", (2, 0, 2)), ("failure", (3, 0, 0))],
    )
    def test_go_on_from_where_the_run_has_come_to(self, bare, setback, counts):
        """A batch that has got through with some of its items begins anew there."""
        stored = bare.add()
        stored.failures, stored.outages, stored.conflicts = 2, 7, 1
        task = make_task()
        task.failures, task.outages, task.conflicts = 2, 0, 1
        kind = {} if setback == "failure" else {setback: True}
        ended = outcome.failed(ConflictError(), retry_in=0.1, **kind)
        stored.put_off(ended, task, None)
        assert (stored.failures, stored.outages, stored.conflicts) == counts


class TestLearning:
    def test_others_of_the_kind_take_turns_from_the_beginning(self, bare):
        """Each is moved to the line of the lock, when it is about to be reserved."""
        feeder = bare.feeder()
        tasks = [bare.add() for _ in range(3)]
        for _ in range(OFTEN):
            feeder.contention.note(tasks[0].callable, True)
        look = bare.look(feeder)
        look.reserve()
        assert look.tasks == {}
        assert look.has_more
        assert {task.conflicts for task in tasks} == {1}
        look = bare.look(feeder)
        look.reserve()
        assert look.tasks

    def test_also_those_that_were_delayed(self, bare):
        """Their time has come already: they are in line, and not put off again."""
        feeder = bare.feeder()
        stored = bare.add(eta=-60)
        for _ in range(OFTEN):
            feeder.contention.note(stored.callable, True)
        bare.look(feeder).reserve()
        shards = bare.scheduler.shards
        assert [len(shard.delayed) for shard in shards] == [2] * SHARDS
        assert stored.eta is None
        shards.leave(stored)
        assert [len(shard.locked) for shard in shards] == [2] * SHARDS

    def test_not_those_of_other_kinds(self, bare):
        feeder = bare.feeder()
        stored = bare.add()
        for _ in range(OFTEN):
            feeder.contention.note("another", True)
        look = bare.look(feeder)
        look.reserve()
        assert list(look.tasks) == [stored.id]
        assert stored.locks == ()
