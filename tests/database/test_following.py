"""What a look follows: pauses, links, and commits whose answer was lost."""

from another import OTHER
from another import until
from collective.background import schedule
from collective.background import using
from collective.background.database import ahead
from collective.background.database import following
from collective.background.database import reserving
from collective.background.database.look import Look
from collective.background.database.looking import usual
from gated_tasks import gated
from gated_tasks import note
from helpers import finished
from helpers import InDoubt
from helpers import TIMEOUT

import pytest
import transaction


@pytest.fixture
def lose_answer(monkeypatch):
    """Return a function: the answer to a look's commit is lost, once.

    Of that which is so: ``condition(look)``.
    """

    def lose_answer(condition):
        finish = Look.finish
        left = [InDoubt()]

        def finish_in_doubt(look):
            finish(look)
            if left and condition(look):
                manager = look.scheduler._p_jar.transaction_manager
                manager.get().join(left.pop())

        monkeypatch.setattr(Look, "finish", finish_in_doubt)
        return left

    return lose_answer


class TestCommitsInDoubt:
    """The storage has committed, but did not say so."""

    @pytest.mark.parametrize("rerun", [True, False])
    def test_what_was_reserved_is_released(self, scheduler, lose_answer, rerun):
        """This process does not know of it, so it would never begin."""
        left = lose_answer(lambda look: set(look.tasks) - set(look.before))
        record = finished(using(rerun=rerun).schedule(len, "x"))
        assert left == []
        assert (record.state, record.attempts) == ("succeeded", 1)
        stored = scheduler.shards.find(record.id)
        assert stored.fence >= 3  # reserved, released, and reserved
        assert (stored.status.begun == 0) == rerun  # nobody suspects it of anything

    def test_what_was_settled_is_settled_once(self, scheduler, lose_answer):
        left = lose_answer(lambda look: look.news.scheduled)
        record = finished(using(on_success=note).schedule(len, "x"))
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert left == []
        assert record.state == "succeeded"
        assert scheduler.count() == 2
        assert not any(held.tasks for held in scheduler.holdings.values() if held)


class TestClaims:
    """A look that conflicts has changed nothing but the dispatcher."""

    @pytest.fixture
    def reserved(self, bare):
        """A StoredTask that a feeder has reserved, and that one."""
        stored = bare.add()
        bare.manager.commit()
        feeder = bare.feeder()
        bare.see_to(feeder, Look.reserve)
        assert list(feeder.held) == [stored.id]
        return stored, feeder

    def test_what_is_taken_over_is_dropped_after_a_conflict(self, bare, reserved):
        stored, feeder = reserved
        stored.reserve(OTHER)
        bare.manager.commit()
        following.check_claims(bare.look(feeder))
        bare.manager.abort()
        bare.see_to(feeder, following.check_claims)
        assert feeder.held == {}
        assert stored.instance == OTHER

    def test_so_is_what_was_withdrawn_and_is_taken_over_then(self, bare, reserved):
        stored, feeder = reserved
        bare.scheduler.paused.add("default")
        bare.manager.commit()
        following.follow_pauses(bare.look(feeder))
        bare.manager.abort()
        stored.reserve(OTHER)
        bare.manager.commit()
        bare.see_to(feeder, following.check_claims)
        assert feeder.held == {}


class TestPauses:
    def test_what_has_not_begun_is_given_back(self, scheduler, gates, monkeypatch):
        """Others may have it, and there is no such pause where they are."""
        monkeypatch.setattr(ahead, "LONG", 3600.0)
        running = [schedule(gated) for _ in range(2)]
        waiting = [schedule(len, "x") for _ in range(2)]
        transaction.commit()
        until(lambda: all(scheduler.shards.find(id).is_reserved for id in waiting))
        scheduler.pause("default")
        until(lambda: not any(scheduler.shards.find(id).is_reserved for id in waiting))
        gates.opened.set()
        for task_id in running:
            assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
        transaction.begin()
        assert [scheduler.record(id).state for id in waiting] == ["queued"] * 2
        scheduler.resume("default")
        for task_id in waiting:
            assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"


class TestSurplus:
    def test_what_waits_behind_long_tasks_is_given_back(self, scheduler, gates):
        """Another instance may have a slot, and here it is its turn all the same."""
        ids = [schedule(gated) for _ in range(3)]
        transaction.commit()
        # Reserved, and released.
        until(lambda: any(scheduler.shards.find(id).fence == 2 for id in ids))
        assert scheduler.count(states="running") == 2
        gates.opened.set()
        assert {finished(id).state for id in ids} == {"succeeded"}


class TestWholeLooks:
    """All that an instance does at each look."""

    @pytest.mark.parametrize("eta", [None, -60, 3600])
    def test_load_nothing_that_does_not_start(self, bare, loaded, eta):
        for _ in range(500):
            bare.add(eta=eta, unique=f"a {bare.scheduler.count()}")
        for _ in range(3):
            bare.add(queue="other")
        bare.manager.commit()
        bare.connection.cacheMinimize()
        bare.manager.begin()
        loaded.clear()
        feeder = bare.feeder(concurrency=2, queues={"other": 1})
        look = bare.look(feeder)
        usual(look)
        assert len(look.tasks) == len(loaded) == (2 if eta == 3600 else 6)

    def test_write_nothing_when_there_is_nothing_to_do(self, bare):
        bare.add(eta=3600)
        bare.manager.commit()
        feeder = bare.feeder()
        feeder.executor.dispatcher.stop(feeder)
        before = bare.database.lastTransaction()
        for _ in range(3):
            bare.manager.begin()
            look = bare.look(feeder)
            usual(look)
            look.finish()
            bare.manager.commit()
            look.committed()
        assert bare.database.lastTransaction() == before


class TestLinks:
    def test_those_that_wait_are_not_loaded(self, bare, loaded):
        """However many: only when what they wait for has ended."""
        first = bare.add()
        for _ in range(300):
            later = bare.add()
            bare.scheduler.shards.leave(later)
            later.after = (first.id,)
            bare.scheduler.shards.wait(later)
            bare.scheduler.shards.link(first.id, later)
        bare.manager.commit()
        bare.connection.cacheMinimize()
        bare.manager.begin()
        loaded.clear()
        look = bare.look(bare.feeder())
        following.follow_requests(look)
        assert len(loaded) <= 1


@pytest.mark.usefixtures("another")
def test_what_follows_begins_where_the_last_one_has_ended(
    scheduler, gates, monkeypatch
):
    """It does not wait until the owner of its shard sees it."""
    ids = [schedule(gated)]
    for _ in range(8):
        ids.append(using(after=ids[-1]).schedule(len, "x"))
        transaction.commit()  # in shards of many owners
    gates.wait()
    monkeypatch.setattr(reserving.Choice, "steal", lambda *args: None)
    gates.opened.set()
    assert scheduler.wait(ids[-1], TIMEOUT).state == "succeeded"


def test_a_chain_takes_a_look_for_each_of_its_tasks(scheduler, monkeypatch):
    """What settles one reserves the next one, which it has just put in line."""
    changes = []
    committed = Look.committed

    def note_changes(look):
        changes.append(look.tasks.keys() != look.before.keys())
        committed(look)

    monkeypatch.setattr(Look, "committed", note_changes)
    last = schedule(len, "x")
    for _ in range(20):
        last = using(after=last).schedule(len, "x")
    transaction.commit()
    assert scheduler.wait(last, TIMEOUT).state == "succeeded"
    assert sum(changes) <= 20 + 3  # the first one, and the end of the last one
