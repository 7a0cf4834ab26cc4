"""``after``: tasks that start when others have succeeded."""

from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.exceptions import QueueFull
from collective.background.exceptions import Retry
from collective.background.testing import eager
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from itertools import pairwise
from threading import Barrier
from threading import Thread

import pytest
import transaction


@pytest.fixture
def done():
    """The names of tasks, in the order in which they have run."""
    return []


@pytest.fixture
def note(done):
    """Return a function that schedules a task with a name, and returns its id."""

    def note(name="", *after, **options):
        return using(after=after, **options).schedule(lambda: done.append(name))

    return note


def fail():
    raise ValueError("no")


def try_later():
    raise Retry(delay=TIMEOUT)


class TestTheOthersSucceed:
    def test_starts_when_the_other_has_succeeded(self, scheduler, gate, note, done):
        before = schedule(gate.task)
        task_id = note("after", before)
        transaction.commit()
        gate.wait()
        assert finished(schedule(int)).state == "succeeded"
        assert scheduler.record(task_id).state == "queued"
        gate.open()
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
        assert done == ["after"]

    def test_one_id_or_several(self, scheduler, note, done):
        first = note("first")
        second = using(after=first).schedule(lambda: done.append("second"))
        third = using(after={first, second}).schedule(lambda: done.append("third"))
        finished(third)
        assert done == ["first", "second", "third"]

    def test_when_the_last_of_several_has_succeeded(
        self, make_scheduler, gate, note, done
    ):
        scheduler = make_scheduler(concurrency=2)
        task_id = note("after", note("quick"), schedule(gate.task), note("quick"))
        transaction.commit()
        gate.wait()
        assert finished(schedule(int)).state == "succeeded"
        assert done == ["quick", "quick"]
        gate.open()
        scheduler.wait(task_id, TIMEOUT)
        assert done == ["quick", "quick", "after"]

    def test_at_once_when_it_has_succeeded_already(self, scheduler, note, done):
        before = finished(schedule(int)).id
        assert finished(note("after", before)).state == "succeeded"

    def test_that_of_another_transaction(self, scheduler, note, done):
        with waiting():
            before = note("before")
            transaction.commit()
            task_id = note("after", before, priority=9)
            transaction.commit()
        scheduler.wait(task_id, TIMEOUT)
        assert done == ["before", "after"]

    def test_the_same_id_twice(self, scheduler, note, done):
        before = note("before")
        finished(note("after", before, before))
        assert done == ["before", "after"]

    def test_after_a_batch_that_was_run_at_once(self, scheduler, note, done):
        before = schedule_batch(abs, [1], inline_below=10)
        assert finished(note("after", before)).state == "succeeded"

    def test_a_batch_with_it_is_not_run_at_once(self, scheduler, note, done):
        options = using(after=note("before"))
        task_id = options.schedule_batch(
            lambda item: done.append(item), ["item"], inline_below=10
        )
        assert done == []
        finished(task_id)
        assert done == ["before", "item"]

    def test_a_chain(self, scheduler, note, done):
        task_id = note(0)
        for number in range(1, 5):
            task_id = note(number, task_id)
        finished(task_id)
        assert done == list(range(5))

    def test_a_diamond(self, make_scheduler, note, done):
        scheduler = make_scheduler(concurrency=2)
        together = Barrier(2)
        top = note("top")
        sides = [
            using(after=top).schedule(lambda: together.wait(TIMEOUT)) for _ in range(2)
        ]
        bottom = note("bottom", *sides)
        assert finished(bottom).state == "succeeded"
        assert done == ["top", "bottom"]
        assert scheduler.count(states="succeeded") == 4

    def test_a_thousand_after_one(self, make_scheduler, gate, note, done):
        scheduler = make_scheduler(concurrency=2)
        before = schedule(gate.task)
        for number in range(1000):
            note(number, before)
        transaction.commit()
        gate.wait()
        assert done == []
        gate.open()
        scheduler.wait_all(TIMEOUT)
        assert sorted(done) == list(range(1000))

    def test_attempts_that_fail_before_the_success_are_waited_for(
        self, scheduler, note, done
    ):
        failures = [1, 2]

        def work():
            if failures:
                failures.pop()
                raise ValueError("not yet")
            done.append("before")

        finished(note("after", using(retries=2, backoff=0).schedule(work)))
        assert done == ["before", "after"]

    def test_with_a_delay_both_are_waited_for(self, scheduler, clock, gate, note, done):
        before = schedule(gate.task)
        early = note("early", before, delay=10)
        late = note("late", before, delay=100)
        transaction.commit()
        gate.wait()
        clock.advance(10)
        assert finished(schedule(int)).state == "succeeded"
        assert done == []
        gate.open()
        scheduler.wait(early, TIMEOUT)
        assert scheduler.record(late).state == "queued"
        clock.advance(90)
        scheduler.wait(late, TIMEOUT)
        assert done == ["early", "late"]

    def test_in_the_thread_of_a_test(self, functional, note, done):
        with eager() as scheduler:
            task_id = note("after", note("before"))
            in_vain = note("never", schedule(fail))
            transaction.commit()
            assert scheduler.record(task_id).state == "succeeded"
            assert scheduler.record(in_vain).state == "cancelled"
        assert done == ["before", "after"]


class TestTheOthersDoNot:
    def reason(self, scheduler, task_id):
        """Why the task was cancelled, which has not begun."""
        record = scheduler.wait(task_id, TIMEOUT)
        assert record.state == "cancelled"
        assert record.attempts == 0
        return record.error.message

    def test_it_is_cancelled_and_says_why(self, scheduler, note, done):
        before = using(title="Import").schedule(fail)
        task_id = note("after", before)
        transaction.commit()
        assert self.reason(scheduler, task_id) == (
            f"the task {before}, after which this one was to start, is failed"
        )
        assert done == []

    def test_when_one_of_several_fails_the_others_are_not_waited_for(
        self, make_scheduler, gate, note
    ):
        scheduler = make_scheduler(concurrency=2)
        running, failing = schedule(gate.task), schedule(fail)
        task_id = note("after", running, failing)
        transaction.commit()
        assert failing in self.reason(scheduler, task_id)
        assert scheduler.record(running).state == "running"
        gate.open()
        scheduler.wait_all(TIMEOUT)
        assert scheduler.record(task_id).state == "cancelled"

    def test_when_it_has_failed_already(self, scheduler, note):
        before = finished(schedule(fail)).id
        task_id = note("after", before)
        transaction.commit()
        assert before in self.reason(scheduler, task_id)

    def test_not_before_the_last_attempt(self, scheduler, until, note):
        before = schedule(try_later)
        task_id = note("after", before)
        transaction.commit()
        until(lambda: scheduler.record(before).state == "retrying")
        assert scheduler.record(task_id).state == "queued"
        scheduler.cancel(before)
        assert "is cancelled" in self.reason(scheduler, task_id)

    def test_when_it_is_cancelled_while_it_waits(self, scheduler, note):
        with waiting():
            before = schedule(int)
            task_id = note("after", before)
            transaction.commit()
            scheduler.cancel(before)
            assert "is cancelled" in self.reason(scheduler, task_id)

    def test_when_it_is_cancelled_before_the_commit(self, scheduler, note):
        before = schedule(int)
        task_id = note("after", before)
        scheduler.cancel(before)
        transaction.commit()
        assert "is cancelled" in self.reason(scheduler, task_id)

    def test_when_it_is_removed_while_it_waits(self, scheduler, note):
        with waiting():
            before = schedule(int)
            task_id = note("after", before)
            transaction.commit()
            scheduler.remove(before)
            assert before in self.reason(scheduler, task_id)

    def test_when_it_is_forgotten_before_the_commit(self, scheduler, note):
        before = finished(schedule(int)).id
        task_id = note("after", before)
        scheduler.remove(before)
        transaction.commit()
        assert f"{before}, after which" in self.reason(scheduler, task_id)
        assert "not known (any more)" in self.reason(scheduler, task_id)

    def test_when_another_transaction_has_not_committed_it(self, scheduler, note):
        """It may never do so."""
        before = schedule(int)
        ids = []

        def visit():
            ids.append(note("after", before))
            transaction.commit()

        visitor = Thread(target=visit)
        visitor.start()
        visitor.join(TIMEOUT)
        assert "not known" in self.reason(scheduler, ids[0])

    def test_all_of_a_chain_and_each_names_the_one_before(self, scheduler, note):
        ids = [schedule(fail)]
        for _ in range(4):
            ids.append(note("after", ids[-1]))
        transaction.commit()
        for before, task_id in pairwise(ids):
            assert f"the task {before}" in self.reason(scheduler, task_id)

    def test_a_chain_that_is_longer_than_the_stack(self, scheduler, note):
        ids = [schedule(fail)]
        for _ in range(1500):
            ids.append(note("after", ids[-1]))
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert scheduler.count(states="cancelled") == 1500

    def test_the_end_of_the_process_loses_all(self, scheduler, gate, note):
        before = schedule(gate.task)
        task_id = note("after", before)
        transaction.commit()
        gate.wait()
        scheduler.drain(0)
        found = [scheduler.record(id).state for id in (before, task_id)]
        assert found == ["lost", "lost"]

    def test_retrying_both_starts_them_in_order(self, scheduler, note, done):
        failures = [1]

        def work():
            if failures:
                failures.pop()
                raise ValueError("not yet")
            done.append("before")

        before = schedule(work)
        task_id = note("after", before)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        with waiting():
            scheduler.retry(before)
            scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
        assert done == ["before", "after"]

    def test_retrying_the_second_alone_is_in_vain(self, scheduler, note, done):
        task_id = note("after", schedule(fail))
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "cancelled"
        assert done == []

    def test_retrying_one_that_had_begun_asks_for_no_other(self, scheduler, note, done):
        """It had succeeded then, and may be forgotten by now."""

        def work():
            if not done:
                done.append("in vain")
                raise ValueError("not yet")
            done.append("after")

        before = schedule(int)
        task_id = using(after=before).schedule(work)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        scheduler.remove(before)
        scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
        assert done == ["in vain", "after"]


class TestUnknownOnes:
    @pytest.mark.parametrize("ids", ["0" * 32, ["0" * 32], "nonsense"])
    def test_are_refused(self, scheduler, ids):
        with pytest.raises(BadOption, match=r"^after is .* there is no such task"):
            using(after=ids).schedule(int)

    def test_of_an_aborted_transaction(self, scheduler):
        task_id = schedule(int)
        transaction.abort()
        with pytest.raises(BadOption, match=task_id):
            using(after=task_id).schedule(int)


class TestWhileItWaits:
    @pytest.fixture
    def scheduler(self, make_scheduler):
        return make_scheduler(max_delayed=1)

    @pytest.fixture
    def blocked(self, scheduler, gate, note):
        """The id of a task that waits for one which runs."""
        task_id = note("blocked", schedule(gate.task))
        transaction.commit()
        gate.wait()
        return task_id

    @pytest.mark.parametrize("end", ["cancel", "remove"])
    def test_it_can_be_ended_at_once(self, scheduler, blocked, gate, done, end):
        getattr(scheduler, end)(blocked)
        record = scheduler.record(blocked)
        assert record is None or record.state == "cancelled"
        gate.open()
        scheduler.wait_all(TIMEOUT)
        assert done == []

    def test_it_takes_room_of_what_is_not_due(self, scheduler, blocked, note):
        note()
        transaction.commit()
        note("", blocked)
        with pytest.raises(QueueFull, match="'max_delayed' allows no more"):
            transaction.commit()
        transaction.abort()

    def test_and_of_the_others_once_these_have_succeeded(
        self, make_scheduler, gate, note, until
    ):
        scheduler = make_scheduler(max_waiting=1, concurrency=1, queues={"other": 1})
        before = using(queue="other").schedule(gate.task)
        note("after", before)
        transaction.commit()
        gate.wait()
        scheduler.pause("default")
        gate.open()
        scheduler.wait(before, TIMEOUT)
        # What follows an end is done a moment later.
        until(lambda: "default" in {q.name for q in scheduler.queues() if q.waiting})
        note()
        with pytest.raises(QueueFull, match="'max_waiting' allows no more"):
            transaction.commit()
        transaction.abort()
        scheduler.resume("default")

    def test_it_has_no_slot(self, make_scheduler, gate, note):
        make_scheduler(concurrency=2)
        note("blocked", schedule(gate.task))
        transaction.commit()
        gate.wait()
        assert finished(schedule(int)).state == "succeeded"
