"""Beginning and working: only as long as the reservation is what it was."""

from another import Another
from another import elsewhere
from another import OTHER
from another import until
from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database import claims
from collective.background.database import outbox
from collective.background.database.tasks import StoredTask
from collective.background.exceptions import Retry
from collective.background.exceptions import Superseded
from gated_tasks import create
from gated_tasks import gated
from gated_tasks import gated_until_cancelled
from helpers import finished
from helpers import InDoubt
from helpers import TIMEOUT
from ZODB.POSException import ConflictError

import gated_tasks
import importlib
import logging
import pytest
import sys
import transaction


def take_over(task_id):
    """Another instance has the task now, as if this one had been silent."""
    with elsewhere(get_scheduler()) as (mine, manager):
        Another(scheduler=mine).reserves(task_id)
        manager.commit()


def wait_for_thread(scheduler):
    """Wait until nothing is left here of any task."""
    feeder = outbox.feeder_of(scheduler)
    until(lambda: not feeder.held)


class TestBegin:
    def test_is_written_down_in_a_small_commit(self, scheduler, gates):
        """Of the task only what says how it stands; so lists do not conflict."""
        task_id = schedule(gated)
        transaction.commit()
        gates.wait()
        transaction.begin()
        stored = scheduler.shards.find(task_id)
        stored.status._p_activate()
        assert stored.status.begun == stored.fence
        assert stored.state == "queued"
        assert stored._p_serial < stored.status._p_serial
        assert scheduler.record(task_id).state == "running"

    def test_is_not_for_what_may_run_again(self, scheduler, gates):
        task_id = using(rerun=True).schedule(gated)
        transaction.commit()
        gates.wait()
        until(lambda: scheduler.record(task_id).state == "running")
        assert scheduler.shards.find(task_id).status.begun == 0
        gates.opened.set()
        assert scheduler.wait(task_id, TIMEOUT).attempts == 1

    def test_not_with_an_old_reservation(self, paused, another):
        task_id = schedule(len, "x")
        transaction.commit()
        stored = another.reserves(task_id)
        transaction.commit()
        feeder = outbox.feeder_of(paused)
        claim = feeder.claim_of(stored, stored.fence - 1)
        with pytest.raises(Superseded):
            claims.begin(stored, transaction.manager, claim, None, another.id)

    def test_conflicts_with_who_takes_the_task_away(self, paused, another):
        task_id = schedule(len, "x")
        another.reserves(task_id)
        transaction.commit()
        with elsewhere(paused) as (mine, manager):
            stored = mine.shards.find(task_id)
            claim = outbox.feeder_of(paused).claim_of(stored, stored.fence)
            another.reserves(task_id)
            transaction.commit()
            with pytest.raises(ConflictError):
                claims.begin(stored, manager, claim, None, "this one")

    def test_a_conflict_while_it_is_loaded_does_not_fail_it(
        self, scheduler, monkeypatch
    ):
        """Nor that the database cannot be reached for a moment."""
        original = StoredTask.make_task
        conflicts = [ConflictError("simulated")]

        def make_task(self, database):
            if conflicts:
                raise conflicts.pop()
            return original(self, database)

        monkeypatch.setattr(StoredTask, "make_task", make_task)
        assert finished(schedule(len, "x")).state == "succeeded"
        assert conflicts == []

    def test_of_a_module_that_exits_when_it_is_imported_fails(
        self, scheduler, tmp_path, monkeypatch
    ):
        """One of those whose classes are among the options."""
        monkeypatch.syspath_prepend(tmp_path)
        module = tmp_path / "an_addon_that_exits.py"
        module.write_text("class Odd(Exception): pass")
        odd = importlib.import_module(module.stem).Odd
        task_id = using(retry_on=(odd,)).schedule(len, "x")
        monkeypatch.delitem(sys.modules, module.stem)
        module.write_text("raise SystemExit('simulated')")
        record = finished(task_id)
        assert (record.state, record.attempts) == ("failed", 1)
        assert "simulated" in record.error.message
        wait_for_thread(scheduler)

    def test_without_a_thread_it_waits(self, scheduler, refuse):
        refuse["background-default-"] = 1
        assert finished(schedule(len, "x")).state == "succeeded"
        assert refuse["background-default-"] == 0


class TestWorkOfWhatIsAnothers:
    def test_is_not_committed(self, scheduler, folder, gates):
        task_id = schedule(create_when_open, folder)
        transaction.commit()
        gates.wait()
        take_over(task_id)
        gates.opened.set()
        wait_for_thread(scheduler)
        assert "new" not in folder
        record = scheduler.record(task_id)
        assert (record.state, record.error) == ("queued", None)

    def test_is_told_to_stop_at_the_next_look(self, scheduler, gates):
        """Before it does more outside of the database."""
        task_id = schedule(gated_until_cancelled)
        transaction.commit()
        gates.wait()
        take_over(task_id)
        wait_for_thread(scheduler)
        assert not gates.opened.is_set()
        stored = scheduler.shards.find(task_id)
        assert (stored.state, stored.instance) == ("queued", OTHER)

    def test_is_not_begun_once_more(self, scheduler, gates):
        """Neither after a conflict, nor as the next part of a batch."""
        runs = gates.runs = []
        task_id = schedule_batch(count_run, [1, 2, 3], size=1)
        transaction.commit()
        gates.wait()
        take_over(task_id)
        gates.opened.set()
        wait_for_thread(scheduler)
        assert runs == [1]

    def test_conflicts_with_who_takes_it_away(self, scheduler, folder, gates):
        """Of two that commit at the same time only one does."""
        task_id = schedule(create_and_be_late, folder)
        transaction.commit()
        gates.wait()
        wait_for_thread(scheduler)
        assert "new" not in folder
        stored = scheduler.shards.find(task_id)
        assert (stored.state, stored.instance) == ("queued", OTHER)


def create_when_open(folder):
    gated()
    create(folder, "new")


def count_run(number):
    gated_tasks.gates.runs.append(number)
    gated()


def create_and_be_late(folder):
    """Another instance takes the task over when the work is about to be committed."""
    create(folder, "new")
    transaction.get().addBeforeCommitHook(take_over_once, (current_task().id,))


def take_over_once(task_id):
    if not gated_tasks.gates.begun.is_set():
        take_over(task_id)
        gated_tasks.gates.begun.set()


@pytest.fixture
def lost(monkeypatch):
    """Let the answer to the first commit of ``append`` be lost."""
    left = [InDoubt()]
    monkeypatch.setattr(gated_tasks, "gates", left)
    return left


def append(text, folder):
    folder.title += text
    if gated_tasks.gates:
        transaction.get().join(gated_tasks.gates.pop())


class TestCommitsInDoubt:
    """The storage has committed, but did not say so."""

    def test_a_task_is_not_done_twice(self, scheduler, folder, lost):
        folder.title = ""
        record = finished(schedule(append, "a", folder))
        assert (record.state, record.error, lost) == ("succeeded", None, [])
        assert folder.title == "a"

    def test_nor_is_a_chunk_of_a_batch(self, scheduler, folder, lost):
        folder.title = ""
        record = finished(schedule_batch(append, ["a", "b", "c"], folder, size=1))
        assert (record.state, lost) == ("succeeded", [])
        assert folder.title == "abc"
        assert scheduler.get_result(record.id)[0].done == 3


def test_messages_and_log_of_all_attempts_are_kept(scheduler):
    record = finished(schedule(tell_and_try_again))
    assert record.state == "succeeded"
    assert [message.text for message in record.messages] == ["told", "told"]
    assert record.log[0] == "WARNING an.add-on attempt"


def tell_and_try_again():
    current_task().message("told")
    logging.getLogger("an.add-on").warning("attempt")
    record = get_scheduler().record(current_task().id)
    if record.attempts == 1:
        raise Retry(delay=0)
