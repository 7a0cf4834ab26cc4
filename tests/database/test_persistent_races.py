"""What happens at the same time in other threads and instances does no harm.

Where the order matters, a test has connections of its own, and commits what they do
in that order.
"""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database import claims
from collective.background.database import worker as worker_module
from collective.background.database import workers
from collective.background.database.claims import Waiting
from collective.background.database.claims import write_end
from collective.background.database.housekeeping import Housekeeper
from collective.background.database.housekeeping import settle
from collective.background.database.instances import Instance
from collective.background.database.private import connected
from collective.background.database.tasks import StoredTask
from collective.background.exceptions import Retry
from collective.background.exceptions import ShuttingDown
from collective.background.exceptions import TaskNotFound
from collective.background.running import outcome
from contextlib import contextmanager
from gated_tasks import create
from gated_tasks import fail
from gated_tasks import gated
from gated_tasks import gated_until_cancelled
from gated_tasks import note
from helpers import finished
from helpers import TIMEOUT
from helpers import Voter
from threading import Event
from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError
from ZODB.utils import p64

import gated_tasks
import logging
import pytest
import threading
import transaction


OTHER = "another-host:1:abcd"


@pytest.fixture
def paused(scheduler):
    """The scheduler; no task starts before the test resumes the queue."""
    scheduler.pause("default")
    yield scheduler
    transaction.abort()
    scheduler.resume("default")


@contextmanager
def elsewhere(scheduler):
    """Yield the scheduler in another connection, and that one's transactions."""
    with connected(scheduler._p_jar.db(), scheduler._p_oid) as (mine, manager):
        yield mine, manager


def until(condition):
    def look(mine):
        return condition(mine), None

    assert get_scheduler()._wait_for(look, TIMEOUT)[1]
    transaction.begin()


def running_elsewhere(scheduler, task_id):
    """Let another instance, which is alive, claim a task."""
    scheduler.instances_by_id[OTHER] = Instance(OTHER, {"default": 1})
    stored = scheduler.shards.find(task_id)
    stored.claim(OTHER)
    scheduler.shards.move(stored)
    transaction.commit()
    return stored


def claim(scheduler, task_id):
    """Let a thread that was started for a task claim it."""
    oid = scheduler.shards.find(task_id)._p_oid
    waiting = Waiting(id=task_id, oid=oid, queue="default", priority=0)
    return workers.worker_of(scheduler)._claim(waiting)


class TestClaims:
    def test_a_running_task_that_is_found_once_more_stays_known(self, scheduler, gates):
        """As by a look that began before the claim was committed."""
        task_id = schedule(gated_until_cancelled)
        transaction.commit()
        gates.wait()
        transaction.begin()
        worker = workers.worker_of(scheduler)
        stored = scheduler.shards.find(task_id)
        worker._push(stored, stored._p_oid)
        worker._dispatcher.wake_up()
        until(lambda mine: stored._p_oid not in worker._waiting)
        until(lambda mine: len(worker._dispatcher.queues["default"].threads) == 1)
        assert task_id in worker.running
        scheduler.cancel(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "cancelled"

    def test_one_that_was_put_off_elsewhere_does_not_start_yet(self, scheduler):
        """Whatever the last look has seen."""
        task_id = using(delay=3600).schedule(len, "x")
        transaction.commit()
        transaction.begin()
        assert claim(scheduler, task_id) is None
        assert scheduler.record(task_id).state == "queued"

    def test_nor_does_one_whose_queue_was_paused(self, paused):
        task_id = schedule(len, "x")
        transaction.commit()
        transaction.begin()
        assert claim(paused, task_id) is None
        paused.resume("default")
        assert paused.wait(task_id, TIMEOUT).state == "succeeded"

    def test_what_is_about_to_begin_when_the_process_stops_waits(self, paused):
        task_id = schedule(len, "x")
        transaction.commit()
        transaction.begin()
        workers.worker_of(paused).stop()
        paused.resume("default")
        assert claim(paused, task_id) is None
        workers.stop_workers()
        workers.worker_of(paused)
        assert paused.wait(task_id, TIMEOUT).state == "succeeded"

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

    def test_one_for_which_there_is_no_thread_waits(self, scheduler, monkeypatch):
        start = threading.Thread.start
        refused = Event()

        def start_later(thread):
            if thread.name.startswith("background-default-") and not refused.is_set():
                refused.set()
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_later)
        assert finished(schedule(len, "x")).state == "succeeded"
        assert refused.is_set()


class TestScheduling:
    def test_a_task_that_left_the_cache_before_the_commit(self, scheduler, caplog):
        task_id = schedule(len, "x")
        transaction.savepoint()
        scheduler._p_jar.cacheMinimize()
        assert finished(task_id).state == "succeeded"
        assert [r for r in caplog.records if r.levelno >= logging.CRITICAL] == []

    def test_nothing_begins_in_a_process_that_ends(self, scheduler, monkeypatch):
        monkeypatch.setattr(workers, "_ending", Event())
        workers.end()
        schedule(len, "x")
        with pytest.raises(ShuttingDown):
            transaction.commit()

    def test_the_scheduler_that_is_taken_away_meanwhile_gets_no_task(self, scheduler):
        """It would be lost. A visitor's request is repeated, without the scheduler."""
        schedule(len, "x")
        with elsewhere(scheduler) as (mine, manager):
            mine.retire()
            manager.commit()
        with pytest.raises(ConflictError):
            transaction.commit()


class TestControl:
    def test_of_a_task_that_was_not_loaded_yet(self, paused):
        task_id = schedule(len, "x")
        transaction.commit()
        with elsewhere(paused) as (mine, manager):
            mine._p_jar.cacheMinimize()
            mine.cancel(task_id)
            manager.abort()
        transaction.begin()
        assert paused.record(task_id).state == "cancelled"

    def test_of_what_was_removed_meanwhile(self, paused):
        task_id = schedule(len, "x")
        transaction.commit()
        transaction.begin()
        paused.remove(task_id)
        assert paused.record(task_id) is not None  # in this transaction
        paused.remove(task_id)
        with pytest.raises(TaskNotFound):
            paused.cancel(task_id)

    @pytest.mark.parametrize("call", ["cancel_here", "remove_here"])
    @pytest.mark.parametrize("first", ["the end", "the request"])
    def test_what_ends_when_it_is_asked_to_stop_is_asked_no_more(
        self, paused, call, first
    ):
        task_id = schedule(len, "x")
        transaction.commit()
        running_elsewhere(paused, task_id)
        with (
            elsewhere(paused) as (asking, asks),
            elsewhere(paused) as (ending, ends),
        ):
            getattr(asking, call)(task_id)
            stored = ending.shards.find(task_id)
            stored.end(outcome.failed(ValueError("simulated")))
            settle(ending, stored)
            order = [ends, asks] if first == "the end" else [asks, ends]
            order[0].commit()
            with pytest.raises(ConflictError):
                order[1].commit()

    def test_a_result_that_is_read_at_once_does_not_keep_others_from_being_told(
        self, paused, persistent_site
    ):
        task_id = using(title="Work", on_success=note).schedule(len, "x")
        transaction.commit()
        stored = running_elsewhere(paused, task_id)
        stored.end(outcome.succeeded(outcome.pack_result(1)))
        transaction.commit()  # and not settled
        assert paused.get_result(task_id) == (1, None)
        transaction.commit()
        paused.resume("default")
        paused.wait_all(TIMEOUT)
        transaction.begin()
        assert persistent_site.description == "Work: succeeded"
        assert paused.record(task_id) is None

    def test_wait_returns_when_all_that_follows_is_there(self, scheduler):
        for _ in range(5):
            before = scheduler.count()
            finished(using(on_success=note).schedule(len, "x"))
            assert scheduler.count() == before + 2


class TestEnds:
    def test_the_last_two_of_a_group_that_fail_at_once(self, paused):
        """One of them sees that all have ended."""
        with group("All", on_failure=note):
            ids = [schedule(len, "x"), schedule(len, "y")]
        transaction.commit()
        with elsewhere(paused) as (one, ends_one), elsewhere(paused) as (two, ends_two):
            one.cancel_here(ids[0])
            two.cancel_here(ids[1])
            ends_one.commit()
            with pytest.raises(ConflictError):
                ends_two.commit()

    def test_a_group_whose_first_task_is_run_at_once(self, scheduler, persistent_site):
        with group("All", on_success=note):
            schedule_batch(len, ["a"], inline_below=2)
            using(title="The last").schedule(len, "b")
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        (callback,) = scheduler.records(text="All:")
        (last,) = scheduler.records(text="The last")
        assert callback.created >= last.finished
        assert persistent_site.description == "All: succeeded"

    def test_what_another_instance_has_tidied_up_is_left_alone(self, paused):
        task_id = using(on_success=note).schedule(len, "x")
        transaction.commit()
        stored = running_elsewhere(paused, task_id)
        worker = workers.worker_of(paused)
        claim, task = worker.claim_of(stored, stored.fence), stored.make_task(None)
        ended = outcome.succeeded(outcome.pack_result(1))
        stored.end(ended)
        assert write_end(paused, claim, task, ended, False).state == "succeeded"
        assert paused.count() == 2
        assert write_end(paused, claim, task, ended, False) is None
        assert paused.count() == 2
        paused.forget(stored)
        assert write_end(paused, claim, task, ended, False) is None
        assert paused.count() == 1

    def test_one_that_cannot_be_written_does_not_keep_the_others_from_it(
        self, scheduler, monkeypatch
    ):
        bad, good = schedule(fail), schedule(fail)
        healed = Event()
        write_end = claims.write_end

        def write_some(scheduler, claim, *args):
            if claim.id == bad and not healed.is_set():
                raise ValueError("simulated")
            return write_end(scheduler, claim, *args)

        monkeypatch.setattr(claims, "write_end", write_some)
        assert finished(good).state == "failed"
        assert scheduler.record(bad).state == "running"
        healed.set()
        assert finished(bad).state == "failed"

    def test_a_repeated_try_to_write_a_failure_counts_it_once(self, paused):
        task_id = using(retries=5).schedule(fail)
        transaction.commit()
        stored = running_elsewhere(paused, task_id)
        worker = workers.worker_of(paused)
        claim, task = worker.claim_of(stored, stored.fence), stored.make_task(None)
        ended = outcome.failed(ValueError("simulated"), retry_in=60)
        for _ in range(2):
            write_end(paused, claim, task, ended, False)
            assert task.failures == stored.failures == 1
            transaction.abort()

    def test_messages_and_log_of_all_attempts_are_kept(self, scheduler):
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


class InDoubt(Voter):
    """Lets the connection be lost when the database has committed already."""

    def __init__(self):
        super().__init__(lambda: None, sort_key="~lost")

    def tpc_finish(self, transaction):
        raise TransientError("simulated: the answer was lost")


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


class TestAfter:
    def test_one_that_has_begun_does_not_mind_what_becomes_of_the_first(
        self, scheduler, gates
    ):
        first = finished(schedule(len, "x")).id
        second = using(after=first).schedule(try_again)
        transaction.commit()
        gates.wait()
        scheduler.remove(first)
        gates.opened.set()
        assert scheduler.wait(second, TIMEOUT).state == "succeeded"

    def test_nor_does_one_that_still_waits_for_a_slot(self, paused, folder):
        paused.resume("default")
        first = finished(schedule(len, "x")).id
        paused.pause("default")
        second = using(after=first).schedule(create, folder, "new")
        transaction.commit()
        until(lambda mine: mine.shards.find(second).after == ())
        paused.remove(first)
        workers.stop_workers()
        transaction.begin()
        paused.resume("default")
        assert paused.wait(second, TIMEOUT).state == "succeeded"


def try_again():
    gated()
    if get_scheduler().record(current_task().id).attempts == 1:
        raise Retry(delay=0)


class TestWorker:
    def test_outlives_an_object_that_is_missing(self, paused, monkeypatch):
        """Only without its scheduler it has nothing to do any more."""
        monkeypatch.setattr(worker_module, "TROUBLE", 0.01)
        failed = Event()
        monkeypatch.setattr(
            worker_module.logger, "exception", lambda *args: failed.set()
        )
        missing = StoredTask.__new__(StoredTask)
        paused._p_jar._cache.new_ghost(p64(2**40), missing)
        key = ("queued", "", "", "default", -1)
        shard = paused.shards.of("00")
        shard.waiting[key] = missing
        transaction.commit()
        worker = workers.worker_of(paused)
        assert failed.wait(TIMEOUT)
        assert not worker.is_retired
        transaction.begin()
        del shard.waiting[key]
        transaction.commit()
        paused.resume("default")
        assert finished(schedule(len, "x")).state == "succeeded"
        assert workers.worker_of(paused) is worker

    def test_who_is_heard_of_at_the_last_moment_is_not_dead(self, paused):
        task_id = schedule(len, "x")
        transaction.commit()
        running_elsewhere(paused, task_id)
        housekeeper = Housekeeper(workers.worker_of(paused))
        with elsewhere(paused) as (mine, manager):
            housekeeper.work(mine)
            manager.commit()
            housekeeper._lease = -1.0  # so that any silence is too long
            manager.begin()
            housekeeper.work(mine)
            assert mine.record(task_id).state == "lost"
            transaction.begin()
            paused.instances_by_id[OTHER].tell({})
            transaction.commit()
            with pytest.raises(ConflictError):
                manager.commit()
        transaction.begin()
        assert paused.record(task_id).state == "running"
