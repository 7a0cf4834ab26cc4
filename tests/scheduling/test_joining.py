"""A task starts when the transaction that scheduled it commits, and only then."""

from collective.background import schedule
from collective.background import using
from collective.background.exceptions import NoTransaction
from collective.background.exceptions import QueueFull
from collective.background.exceptions import TaskNotFound
from collective.background.testing import eager
from helpers import finished
from helpers import TIMEOUT
from helpers import Voter

import pytest
import transaction


@pytest.fixture
def done():
    """What the tasks of ``note`` have noted, in the order of their starting."""
    return []


@pytest.fixture
def note(done):
    """Schedule a task that notes a name; return its id."""

    def note(name):
        return schedule(lambda: done.append(name))

    return note


def commit(scheduler):
    transaction.commit()
    scheduler.wait_all(TIMEOUT)


def refuse():
    raise ValueError("refused by another")


class TestCommitAndAbort:
    def test_nothing_starts_before_the_commit(self, scheduler, note, done):
        task_id = note("a")
        assert scheduler.record(task_id).state == "queued"
        assert {queue.waiting for queue in scheduler.queues()} == {0}
        commit(scheduler)
        assert done == ["a"]

    def test_abort_forgets_the_task(self, scheduler, note, done):
        task_id = note("a")
        transaction.abort()
        commit(scheduler)
        assert done == []
        assert scheduler.record(task_id) is None

    def test_after_an_abort_there_is_no_task_to_wait_for(self, scheduler, note):
        task_id = note("a")
        transaction.abort()
        with pytest.raises(TaskNotFound, match=task_id):
            scheduler.wait(task_id, TIMEOUT)

    def test_they_start_in_the_order_in_which_they_were_scheduled(
        self, make_scheduler, note, done
    ):
        """More than ten: as texts, 10 sorts before 9."""
        scheduler = make_scheduler(concurrency=1)
        for number in range(120):
            note(number)
        commit(scheduler)
        assert done == list(range(120))

    @pytest.mark.parametrize("sort_key", ["a", "z", "~sqlalchemy:1"])
    def test_they_start_when_all_others_have_committed(
        self, scheduler, note, done, sort_key
    ):
        """Databases of any kind; so a task finds what its transaction did."""

        class Database(Voter):
            def tpc_finish(self, transaction):
                done.append("committed")

        with eager():
            note("a")
            transaction.get().join(Database(int, sort_key))
            transaction.commit()
        assert done == ["committed", "a"]

    def test_the_next_transaction_starts_nothing_again(self, scheduler, note, done):
        note("a")
        commit(scheduler)
        commit(scheduler)
        assert done == ["a"]

    def test_a_task_of_a_failed_commit_is_forgotten(self, scheduler, note, done):
        task_id = note("a")
        transaction.get().join(Voter(refuse))
        with pytest.raises(ValueError, match="refused by another"):
            transaction.commit()
        transaction.abort()
        commit(scheduler)
        assert done == []
        assert scheduler.record(task_id) is None

    @pytest.mark.parametrize("sort_key", ["a", "~~~"])
    def test_room_is_given_back_when_another_refuses(
        self, make_scheduler, note, sort_key
    ):
        """Whether it votes before us or after us."""
        scheduler = make_scheduler(max_waiting=2)
        for _ in range(3):  # more often than there is room
            note("a"), note("b")
            transaction.get().join(Voter(refuse, sort_key))
            with pytest.raises(ValueError, match="refused by another"):
                transaction.commit()
            transaction.abort()
        note("a"), note("b")
        commit(scheduler)
        assert scheduler.count(states="succeeded") == 2


class TestSavepoints:
    def test_rollback_forgets_what_was_scheduled_since(self, scheduler, note, done):
        note("before")
        savepoint = transaction.savepoint()
        task_id = note("after")
        savepoint.rollback()
        commit(scheduler)
        assert done == ["before"]
        assert scheduler.record(task_id) is None

    def test_a_savepoint_that_is_not_rolled_back_changes_nothing(
        self, make_scheduler, note, done
    ):
        scheduler = make_scheduler(concurrency=1)
        note("before")
        transaction.savepoint()
        note("after")
        commit(scheduler)
        assert done == ["before", "after"]

    def test_what_is_scheduled_after_the_rollback_starts(self, scheduler, note, done):
        savepoint = transaction.savepoint()
        note("forgotten")
        savepoint.rollback()
        note("kept")
        commit(scheduler)
        assert done == ["kept"]

    def test_one_savepoint_rolled_back_again_and_again(self, scheduler, note, done):
        savepoint = transaction.savepoint()
        for _ in range(3):
            note("forgotten")
            savepoint.rollback()
        note("kept")
        commit(scheduler)
        assert done == ["kept"]

    @pytest.mark.parametrize("back_to", range(5))
    def test_nested_ones(self, make_scheduler, note, done, back_to):
        scheduler = make_scheduler(concurrency=1)
        savepoints = []
        for number in range(5):
            savepoints.append(transaction.savepoint())
            note(number)
        savepoints[back_to].rollback()
        commit(scheduler)
        assert done == list(range(back_to))

    def test_an_inner_rollback_and_then_an_outer_one(self, scheduler, note, done):
        note("kept")
        outer = transaction.savepoint()
        note("outer")
        inner = transaction.savepoint()
        note("inner")
        inner.rollback()
        outer.rollback()
        commit(scheduler)
        assert done == ["kept"]

    def test_many(self, make_scheduler, note, done):
        """Every second one is rolled back."""
        scheduler = make_scheduler(concurrency=1)
        for number in range(100):
            savepoint = transaction.savepoint()
            note(number)
            if number % 2:
                savepoint.rollback()
        commit(scheduler)
        assert done == list(range(0, 100, 2))

    def test_abort_after_a_rollback_forgets_all(self, scheduler, note, done):
        note("before")
        transaction.savepoint().rollback()
        transaction.abort()
        commit(scheduler)
        assert done == []


class TestTooLate:
    def test_in_an_after_commit_hook(self, scheduler, done):
        """The error says what to do instead."""
        errors = []

        def hook(committed):
            try:
                schedule(lambda: done.append("hook"))
            except NoTransaction as error:
                errors.append(str(error))

        transaction.get().addAfterCommitHook(hook)
        commit(scheduler)
        (text,) = errors
        assert "too late" in text
        assert "begin a transaction of its own" in text
        assert done == []
        assert scheduler.records() == []

    def test_in_a_transaction_of_the_hooks_own_it_works(self, scheduler, note, done):
        def hook(committed):
            manager = transaction.TransactionManager()
            usual, transaction.manager.manager = transaction.manager.manager, manager
            try:
                note("hook")
                manager.commit()
            finally:
                transaction.manager.manager = usual

        transaction.get().addAfterCommitHook(hook)
        commit(scheduler)
        assert done == ["hook"]

    def test_in_a_before_commit_hook_it_is_not(self, scheduler, note, done):
        transaction.get().addBeforeCommitHook(note, ("hook",))
        commit(scheduler)
        assert done == ["hook"]


class TestWaitingRoom:
    """It refuses the whole transaction, and nothing of it is half-done."""

    @pytest.fixture
    def small(self, make_scheduler, gate):
        """A scheduler with one slot, which is in use, and room for three."""
        scheduler = make_scheduler(concurrency=1, max_waiting=3)
        schedule(gate.task)
        transaction.commit()
        gate.wait()
        return scheduler

    def test_a_transaction_that_does_not_fit_is_refused(self, small, note):
        ids = [note(number) for number in range(4)]
        with pytest.raises(QueueFull, match=r"3 tasks are waiting.*max_waiting"):
            transaction.commit()
        assert [small.record(task_id) for task_id in ids] == [None] * 4
        assert small.queues()[0].waiting == 0

    def test_its_room_is_free_again(self, small, gate, note, done):
        for _ in range(3):
            for _ in range(4):
                note("refused")
            with pytest.raises(QueueFull):
                transaction.commit()
            transaction.abort()
        for number in range(3):
            note(number)
        transaction.commit()
        assert small.queues()[0].waiting == 3
        note("refused")
        with pytest.raises(QueueFull):
            transaction.commit()
        transaction.abort()
        gate.open()
        small.wait_all(TIMEOUT)
        assert done == [0, 1, 2]

    def test_it_takes_tasks_again_when_others_have_left(self, small, gate, note, done):
        for number in range(3):
            note(number)
        transaction.commit()
        gate.open()
        small.wait_all(TIMEOUT)
        for number in range(3, 6):
            note(number)
        commit(small)
        assert done == list(range(6))

    def test_a_cancelled_or_removed_task_leaves_the_room(self, small, gate, note, done):
        first, second, _ = [note(number) for number in range(3)]
        transaction.commit()
        small.cancel(first)
        small.remove(second)
        note(3), note(4)
        transaction.commit()
        note("refused")
        with pytest.raises(QueueFull):
            transaction.commit()
        transaction.abort()
        gate.open()
        small.wait_all(TIMEOUT)
        assert done == [2, 3, 4]

    def test_a_task_cancelled_before_the_commit_takes_no_room(self, small, note):
        ids = [note(number) for number in range(4)]
        small.cancel(ids[0])
        transaction.commit()
        assert small.queues()[0].waiting == 3

    def test_all_queues_share_it(self, make_scheduler, gate, note):
        scheduler = make_scheduler(concurrency=1, max_waiting=2, queues={"other": 1})
        scheduler.pause("other")
        scheduler.pause("default")
        using(queue="other").schedule(gate.task)
        note("a")
        transaction.commit()
        note("refused")
        with pytest.raises(QueueFull):
            transaction.commit()
        transaction.abort()
        gate.open()
        scheduler.resume("other")
        scheduler.resume("default")

    def test_a_retry_needs_room_too(self, small, gate, note, done):
        task_id = note("a")
        transaction.commit()
        small.cancel(task_id)
        for number in range(3):
            note(number)
        transaction.commit()
        with pytest.raises(QueueFull):
            small.retry(task_id)
        assert small.record(task_id).state == "cancelled"
        gate.open()
        small.wait_all(TIMEOUT)
        small.retry(task_id)
        small.wait_all(TIMEOUT)
        assert done == [0, 1, 2, "a"]


def test_two_thousand_tasks_of_one_transaction_run_once_each(scheduler, note, done):
    ids = [note(number) for number in range(2000)]
    commit(scheduler)
    assert sorted(done) == list(range(2000))
    assert {scheduler.record(task_id).attempts for task_id in ids} == {1}


def test_a_task_schedules_tasks(scheduler, done):
    def outer():
        schedule(lambda: done.append("inner"))
        done.append("outer")

    def failing():
        schedule(lambda: done.append("inner of the failing one"))
        raise ValueError("no commit")

    finished(schedule(outer))
    finished(schedule(failing))
    scheduler.wait_all(TIMEOUT)
    assert done == ["outer", "inner"]
