"""``unique``: at most one unfinished task has a key."""

from collective.background import current_task
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import Retry
from collective.background.exceptions import UniqueConflict
from collective.background.testing import scheduled
from helpers import finished
from helpers import TIMEOUT
from helpers import Voter
from helpers import waiting
from threading import Event
from threading import Thread
from transaction.interfaces import TransientError
from zope.component.hooks import site as in_site

import pytest
import transaction


@pytest.fixture
def runs():
    return []


@pytest.fixture
def work(runs):
    def work():
        runs.append(1)

    return work


class Refused(Exception):
    """Another data manager refuses the transaction."""


def fail():
    raise ValueError("no")


def in_another_transaction(function):
    """Call the function in a thread, commit there, return what it returned."""
    results = []

    def visit():
        results.append(function())
        transaction.commit()

    visitor = Thread(target=visit)
    visitor.start()
    visitor.join(TIMEOUT)
    return results[0]


class TestWhatIsReturned:
    def test_the_id_of_the_one_in_the_same_transaction(self, scheduler, work, runs):
        first = using(unique="reindex").schedule(work)
        assert using(unique="reindex").schedule(work) == first
        finished(first)
        scheduler.wait_all(TIMEOUT)
        assert runs == [1]
        assert scheduler.count() == 1

    def test_of_one_that_waits(self, scheduler, work, runs):
        with waiting():
            first = using(unique="reindex").schedule(work)
            transaction.commit()
            assert using(unique="reindex").schedule(work) == first
            transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert runs == [1]

    def test_of_one_that_runs(self, scheduler, gate, work, runs):
        first = using(unique="reindex").schedule(gate.task)
        transaction.commit()
        gate.wait()
        assert using(unique="reindex").schedule(work) == first
        transaction.commit()
        gate.open()
        scheduler.wait_all(TIMEOUT)
        assert runs == []

    def test_of_one_that_is_tried_again(self, scheduler, until):
        def try_later():
            raise Retry(delay=TIMEOUT)

        first = using(unique="reindex").schedule(try_later)
        transaction.commit()
        until(lambda: scheduler.record(first).state == "retrying")
        assert using(unique="reindex").schedule(int) == first
        scheduler.cancel(first)

    def test_of_a_task_of_another_user_and_function(self, functional):
        """It is the key alone that counts."""
        with waiting():
            first = using(unique="reindex").schedule(int)
            assert using(unique="reindex", user="admin").schedule(len, "") == first
            transaction.abort()

    def test_nothing_is_told(self, scheduler, work):
        with scheduled() as records:
            first = using(unique="reindex").schedule(work)
            using(unique="reindex").schedule(work)
        assert [record.id for record in records] == [first]

    def test_another_key_is_another_task(self, scheduler, work, runs):
        ids = {using(unique=key).schedule(work) for key in ("a", "b", None, None)}
        assert len(ids) == 4
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert runs == [1] * 4

    def test_each_site_has_keys_of_its_own(self, functional):
        with waiting():
            here = using(unique="reindex").schedule(int)
            with in_site(None):
                elsewhere = using(unique="reindex").schedule(int)
            assert here != elsewhere
            transaction.commit()
            assert using(unique="reindex").schedule(int) == here
            transaction.abort()

    def test_the_key_may_depend_on_the_arguments(self, scheduler):
        keyed = using(unique=lambda text, base=10: f"{text}-{base}")
        with waiting():
            first = keyed.schedule(int, "7")
            assert keyed.schedule(int, "7") == first
            assert keyed.schedule(int, "7", base=10) == first
            assert keyed.schedule(int, "7", base=8) != first
            transaction.abort()

    def test_a_batch_that_would_run_at_once_is_not_run(self, scheduler, runs):
        options = using(unique="reindex")
        with waiting():
            first = options.schedule(int)
            transaction.commit()
            inline = options.schedule_batch(runs.append, [1, 2], inline_below=10)
            assert inline == first
            transaction.commit()
        assert runs == []


class TestRelease:
    """The key is free when its task has ended, in whatever way."""

    def is_free(self, before):
        with waiting():
            after = using(unique="reindex").schedule(int)
            transaction.abort()
        return after != before

    @pytest.mark.parametrize("function", [int, fail])
    def test_by_its_end(self, scheduler, function):
        task_id = using(unique="reindex").schedule(function)
        finished(task_id)
        assert self.is_free(task_id)

    @pytest.mark.parametrize("end", ["cancel", "remove"])
    def test_by_ending_it_while_it_waits(self, scheduler, end):
        with waiting():
            task_id = using(unique="reindex").schedule(int)
            transaction.commit()
            getattr(scheduler, end)(task_id)
            assert self.is_free(task_id)

    @pytest.mark.parametrize("end", ["cancel", "remove"])
    def test_by_ending_it_before_its_commit(self, scheduler, work, runs, end):
        task_id = using(unique="reindex").schedule(int)
        getattr(scheduler, end)(task_id)
        assert using(unique="reindex").schedule(work) != task_id
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert runs == [1]

    def test_by_cancelling_it_while_it_runs(self, scheduler, gate):
        """Not before it has stopped."""

        def work():
            gate.task()
            current_task().check_cancelled()

        task_id = using(unique="reindex").schedule(work)
        transaction.commit()
        gate.wait()
        scheduler.cancel(task_id)
        assert not self.is_free(task_id)
        gate.open()
        scheduler.wait(task_id, TIMEOUT)
        assert self.is_free(task_id)

    def test_by_losing_it(self, make_scheduler):
        """Another scheduler has keys of its own, and this one takes no tasks."""
        scheduler = make_scheduler()
        scheduler.pause("default")
        task_id = using(unique="reindex").schedule(int)
        transaction.commit()
        scheduler.drain(0)
        assert scheduler.record(task_id).state == "lost"
        lifecycle = scheduler.lifecycle
        assert lifecycle.store.find_holder(lifecycle.find(task_id)) is None

    def test_by_an_abort(self, scheduler, work, runs):
        first = using(unique="reindex").schedule(work)
        transaction.abort()
        second = using(unique="reindex").schedule(work)
        assert second != first
        finished(second)
        assert runs == [1]

    def test_by_the_rollback_of_a_savepoint(self, scheduler, work, runs):
        savepoint = transaction.savepoint()
        first = using(unique="reindex").schedule(work)
        savepoint.rollback()
        second = using(unique="reindex").schedule(work)
        assert second != first
        finished(second)
        assert runs == [1]

    def test_not_by_the_rollback_of_what_came_after(self, scheduler, work):
        first = using(unique="reindex").schedule(work)
        savepoint = transaction.savepoint()
        using(unique="reindex").schedule(work)
        savepoint.rollback()
        assert using(unique="reindex").schedule(work) == first

    def test_not_by_the_end_of_another_task(self, scheduler, gate):
        first = using(unique="reindex").schedule(gate.task)
        transaction.commit()
        gate.wait()
        finished(using(unique="import").schedule(int))
        assert using(unique="reindex").schedule(int) == first


class TestConcurrentTransactions:
    def test_the_first_that_commits_has_the_key(self, scheduler, work, runs):
        mine = using(unique="reindex").schedule(work)
        with waiting():
            other = in_another_transaction(
                lambda: using(unique="reindex").schedule(work)
            )
            assert other != mine
            with pytest.raises(UniqueConflict, match=other) as info:
                transaction.commit()
            transaction.abort()
            assert isinstance(info.value, TransientError)
            assert "'reindex'" in str(info.value)
            assert using(unique="reindex").schedule(work) == other
        finished(other)
        scheduler.wait_all(TIMEOUT)
        assert runs == [1]
        assert scheduler.record(mine) is None

    def test_nobody_relies_on_one_whose_commit_may_still_fail(self, scheduler, work):
        """Meanwhile its key cannot be had by others, which then try again."""
        mine = using(unique="reindex").schedule(work)

        def schedule_and_commit():
            other = using(unique="reindex").schedule(work)
            with pytest.raises(UniqueConflict, match=mine):
                transaction.commit()
            transaction.abort()
            return other

        def vote():
            assert in_another_transaction(schedule_and_commit) != mine
            raise Refused

        transaction.get().join(Voter(vote))
        with pytest.raises(Refused):
            transaction.commit()
        transaction.abort()
        assert finished(using(unique="reindex").schedule(work)).state == "succeeded"

    def test_one_that_aborts_is_in_nobodys_way(self, scheduler, work, runs):
        mine = using(unique="reindex").schedule(work)

        def schedule_and_abort():
            using(unique="reindex").schedule(work)
            transaction.abort()

        in_another_transaction(schedule_and_abort)
        assert finished(mine).state == "succeeded"
        assert runs == [1]

    def test_one_that_has_ended_meanwhile_is_in_nobodys_way(
        self, scheduler, work, runs
    ):
        mine = using(unique="reindex").schedule(work)
        other = in_another_transaction(lambda: using(unique="reindex").schedule(work))
        scheduler.wait(other, TIMEOUT)
        assert finished(mine).state == "succeeded"
        assert runs == [1, 1]

    def test_a_task_that_schedules_is_repeated_and_finds_the_other(self, scheduler):
        hold = Event()
        found = []

        def hold_key():
            assert hold.wait(TIMEOUT)

        def outer():
            found.append(using(unique="reindex").schedule(hold_key))
            if len(found) == 1:
                found.append(
                    in_another_transaction(
                        lambda: using(unique="reindex").schedule(hold_key)
                    )
                )

        record = finished(schedule(outer))
        assert record.state == "succeeded"
        assert record.attempts == 2
        mine, other, again = found
        assert again == other != mine
        hold.set()


class TestTryingAgain:
    def test_takes_the_key(self, scheduler):
        task_id = finished(using(unique="reindex").schedule(fail)).id
        with waiting():
            scheduler.retry(task_id)
            assert using(unique="reindex").schedule(int) == task_id

    def test_is_refused_while_another_one_has_it(self, scheduler):
        task_id = finished(using(unique="reindex").schedule(fail)).id
        with waiting():
            other = using(unique="reindex").schedule(int)
            transaction.commit()
            with pytest.raises(
                IllegalTransition, match=f"{other} with the same unique key 'reindex'"
            ):
                scheduler.retry(task_id)
        assert scheduler.record(task_id).state == "failed"
        scheduler.wait(other, TIMEOUT)
        scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "failed"


def test_a_batch_that_runs_at_once_gives_the_key_back(scheduler):
    options = using(unique="reindex")
    first = options.schedule_batch(abs, [1], inline_below=10)
    second = options.schedule_batch(abs, [1], inline_below=10)
    assert first != second
    assert finished(options.schedule(int)).id not in (first, second)
