"""``retries``, ``backoff`` and ``Retry``: tasks that fail and are tried again."""

from collections import Counter
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.exceptions import QueueFull
from collective.background.exceptions import Retry
from collective.background.interfaces import ITaskRetrying
from collective.background.interfaces import ITaskStarted
from collective.background.model.options import MAX_BACKOFF
from collective.background.model.options import Options
from collective.background.running import retrying
from collective.background.running.retrying import retry_delay
from decimal import Decimal
from fractions import Fraction
from helpers import finished
from helpers import TIMEOUT
from helpers import Voter
from hypothesis import given
from hypothesis import strategies as st
from ZODB.POSException import ConflictError

import logging
import pytest
import transaction


class Busy(Exception):
    """What passes."""


class VeryBusy(Busy):
    """What passes as well."""


@pytest.fixture
def scheduler(make_scheduler):
    return make_scheduler(concurrency=1)


@pytest.fixture
def at_once(monkeypatch):
    """Let no task wait before its next attempt."""
    monkeypatch.setattr(retrying, "uniform", lambda low, high: 0)


@pytest.fixture
def at_most(monkeypatch):
    """Let tasks wait for as long as ``backoff`` allows."""
    monkeypatch.setattr(retrying, "uniform", lambda low, high: high)


@pytest.fixture
def errors():
    """What the attempts of ``work`` raise, one after the other."""
    return []


@pytest.fixture
def work(errors):
    """A task that succeeds when there are no errors left."""

    def work():
        if errors:
            raise errors.pop(0)
        return "done"

    return work


@pytest.fixture
def wait_for_attempt(scheduler, clock, at_most, until):
    """Return a function that schedules a task, and waits until it is to be retried."""

    def wait_for_attempt(function, **options):
        task_id = using(**options).schedule(function)
        transaction.commit()
        until(lambda: scheduler.record(task_id).state == "retrying")
        return task_id

    return wait_for_attempt


@pytest.mark.usefixtures("at_once")
class TestRetries:
    @pytest.mark.parametrize("retries", [0, 1, 3])
    def test_so_many_attempts_and_one_more(self, scheduler, retries):
        runs = []

        def fail():
            runs.append(1)
            raise Busy(f"attempt {len(runs)}")

        record = finished(using(retries=retries).schedule(fail))
        assert record.state == "failed"
        assert len(runs) == record.attempts == retries + 1
        assert record.error.message == f"attempt {retries + 1}"

    def test_one_that_succeeds_is_the_last(self, scheduler, errors, work):
        errors += [Busy(), Busy()]
        record = finished(using(retries=5).schedule(work))
        assert record.state == "succeeded"
        assert record.attempts == 3

    def test_a_success_leaves_no_error(self, scheduler, errors, work):
        errors.append(Busy())
        record = finished(using(retries=1).schedule(work))
        assert record.error is None
        assert scheduler.get_result(record.id) == ("done", None)

    def test_those_before_the_last_are_warnings(self, scheduler, errors, work, caplog):
        """Of one line each; what it is at last has a traceback."""
        errors += [Busy("line one\nline two") for _ in range(3)]
        with caplog.at_level(logging.INFO):
            task_id = finished(using(retries=2).schedule(work)).id
        lines = [r for r in caplog.records if r.name.endswith("running.ending")]
        reason = "test_retries.Busy: line one line two"
        again = f"task {task_id} is tried again in 0 s: {reason}"
        assert [line.getMessage() for line in lines[:2]] == [again] * 2
        assert [line.levelname for line in lines] == ["WARNING", "WARNING", "ERROR"]
        assert [bool(line.exc_info) for line in lines] == [False, False, True]

    def test_it_was_started_once(self, scheduler, errors, work, subscribe):
        """Its time begins with the first attempt."""
        starts = []
        subscribe(ITaskStarted, lambda event: starts.append(event.record.started))
        errors.append(Busy())
        record = finished(using(retries=1).schedule(work))
        assert starts == [record.started] * 2
        assert record.started <= record.finished

    def test_nothing_of_a_failed_attempt_stays(self, folder, errors, work):
        """Neither changes, nor tasks that it has scheduled."""
        runs = []
        errors.append(Busy())

        def change(folder):
            folder.title += ", changed"
            schedule(lambda: runs.append(1))
            work()

        assert finished(using(retries=1).schedule(change, folder)).attempts == 2
        get_scheduler().wait_all(TIMEOUT)
        transaction.begin()
        assert folder.title == "A folder, changed"
        assert runs == [1]

    def test_conflicts_do_not_count(self, scheduler, errors, work):
        errors += [ConflictError(), ConflictError(), Busy(), ConflictError()]
        record = finished(using(retries=1).schedule(work))
        assert record.state == "succeeded"
        assert record.attempts == 5

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
    def test_not_after_what_is_no_exception(self, scheduler, errors, work, error):
        errors.append(error())
        record = finished(using(retries=3).schedule(work))
        assert record.state == "failed"
        assert record.attempts == 1

    def test_trying_again_by_hand_begins_anew(self, scheduler, errors, work):
        errors += [Busy()] * 4
        task_id = finished(using(retries=1).schedule(work)).id
        assert scheduler.record(task_id).state == "failed"
        scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "failed"
        scheduler.retry(task_id)
        record = scheduler.wait(task_id, TIMEOUT)
        assert record.state == "succeeded"
        assert record.attempts == 5


@pytest.mark.usefixtures("at_once")
class TestWhichErrors:
    @pytest.mark.parametrize(
        ("options", "error", "attempts"),
        [
            ({"retry_on": Busy}, Busy, 2),
            ({"retry_on": Busy}, VeryBusy, 2),
            ({"retry_on": Busy}, ValueError, 1),
            ({"retry_on": [OSError, Busy]}, Busy, 2),
            ({"retry_on": ()}, Busy, 1),
            ({"give_up_on": Busy}, Busy, 1),
            ({"give_up_on": Busy}, ValueError, 2),
            ({"give_up_on": {Busy, OSError}}, VeryBusy, 1),
            ({"retry_on": Busy, "give_up_on": VeryBusy}, Busy, 2),
            ({"retry_on": Busy, "give_up_on": VeryBusy}, VeryBusy, 1),
        ],
    )
    def test_those_that_are_named(
        self, scheduler, errors, work, options, error, attempts
    ):
        errors += [error("no"), error("no")]
        record = finished(using(retries=1, **options).schedule(work))
        assert record.state == "failed"
        assert record.attempts == attempts


class TestWhileItWaits:
    def test_it_has_no_slot(self, scheduler, clock, errors, work, wait_for_attempt):
        errors.append(Busy("not yet"))
        task_id = wait_for_attempt(work, retries=1, backoff=10)
        assert finished(schedule(int)).state == "succeeded"
        assert scheduler.record(task_id).state == "retrying"
        clock.advance(10)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_its_record_tells_why(self, scheduler, errors, work, wait_for_attempt):
        errors.append(Busy("not yet"))
        task_id = wait_for_attempt(work, retries=1)
        record = scheduler.record(task_id)
        assert record.attempts == 1
        assert record.error.type.endswith(".Busy")
        assert record.error.message == "not yet"
        assert "raise errors.pop(0)" in record.error.traceback
        assert record.finished is None
        assert scheduler.completed(task_id) is False
        scheduler.cancel(task_id)

    def test_so_does_the_log(self, scheduler, errors, work, wait_for_attempt, caplog):
        caplog.set_level("INFO")
        errors.append(Busy("not yet"))
        task_id = wait_for_attempt(work, retries=1)
        scheduler.cancel(task_id)
        scheduler.wait_all(TIMEOUT)
        (line,) = [line for line in caplog.messages if ": retrying" in line]
        assert task_id in line
        assert line.endswith("Busy: not yet")

    def test_twice_as_long_each_time(
        self, scheduler, clock, errors, work, wait_for_attempt, until
    ):
        errors += [Busy()] * 3
        task_id = wait_for_attempt(work, retries=3, backoff=10)

        def attempts():
            record = scheduler.record(task_id)
            return record.attempts if record.state == "retrying" else None

        for failed, seconds in ((1, 10), (2, 20), (3, 40)):
            until(lambda failed=failed: attempts() == failed)
            clock.advance(seconds - 1)
            assert finished(schedule(int)).state == "succeeded"
            assert attempts() == failed
            clock.advance(1)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    @pytest.mark.parametrize("end", ["cancel", "remove"])
    def test_it_can_be_ended_at_once(
        self, scheduler, clock, errors, work, wait_for_attempt, end
    ):
        errors += [Busy()]
        task_id = wait_for_attempt(work, retries=5, backoff=10)
        getattr(scheduler, end)(task_id)
        scheduler.wait_all(TIMEOUT)
        clock.advance(10)
        record = scheduler.record(task_id)
        if end == "remove":
            assert record is None
        else:
            assert record.state == "cancelled"
            assert record.attempts == 1
            assert "cancelled before its next attempt" in record.error.message

    def test_it_can_be_ended_by_a_subscriber(self, scheduler, errors, work, subscribe):
        """Who hears of it before the dispatcher does."""
        subscribe(ITaskRetrying, lambda event: scheduler.cancel(event.record.id))
        errors += [Busy()]
        task_id = using(retries=1, backoff=MAX_BACKOFF).schedule(work)
        record = finished(task_id)
        assert record.state == "cancelled"
        scheduler.wait_all(TIMEOUT)
        assert scheduler.record(task_id).attempts == 1

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_subscriber_that_ends_the_thread_does_not_end_the_task(
        self, scheduler, errors, work, subscribe, at_once
    ):
        def leave_thread(event):
            raise SystemExit

        subscribe(ITaskRetrying, leave_thread)
        errors += [Busy()]
        assert finished(using(retries=1).schedule(work)).state == "succeeded"

    def test_a_cancelled_one_can_be_retried(
        self, scheduler, errors, work, wait_for_attempt
    ):
        errors += [Busy()]
        task_id = wait_for_attempt(work, retries=5)
        scheduler.cancel(task_id)
        scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_the_end_of_the_process_does_not_wait_for_it(
        self, scheduler, errors, work, wait_for_attempt
    ):
        errors += [Busy()]
        task_id = wait_for_attempt(work, retries=5)
        scheduler.drain(TIMEOUT)
        assert scheduler.record(task_id).state == "lost"

    def test_it_takes_room(self, make_scheduler, errors, work, at_most, until):
        scheduler = make_scheduler(max_delayed=1)
        errors += [Busy()]
        task_id = using(retries=1, backoff=MAX_BACKOFF).schedule(work)
        transaction.commit()
        until(lambda: scheduler.record(task_id).state == "retrying")
        using(delay=TIMEOUT).schedule(int)
        with pytest.raises(QueueFull):
            transaction.commit()
        transaction.abort()
        scheduler.cancel(task_id)
        assert finished(schedule(int)).state == "succeeded"

    def test_it_is_never_refused_itself(self, make_scheduler, gate, at_once):
        """It was admitted already."""
        scheduler = make_scheduler(concurrency=1, max_waiting=1)
        failures = [1]

        def work():
            gate.task()
            if failures:
                failures.pop()
                raise Busy

        first = using(retries=1).schedule(work)
        transaction.commit()
        gate.wait()
        second = schedule(int)
        transaction.commit()
        gate.open()
        scheduler.wait_all(TIMEOUT)
        states = [scheduler.record(task_id).state for task_id in (first, second)]
        assert states == ["succeeded", "succeeded"]

    def test_a_running_one_that_is_cancelled_is_not_tried_again(
        self, scheduler, gate, until
    ):
        def work():
            gate.task()
            raise Busy

        task_id = using(retries=5).schedule(work)
        transaction.commit()
        gate.wait()
        scheduler.cancel(task_id)
        gate.open()
        record = scheduler.wait(task_id, TIMEOUT)
        assert record.state == "failed"
        assert record.attempts == 1


class TestRetry:
    """A task asks for it by itself."""

    @pytest.mark.usefixtures("at_once")
    def test_whatever_the_options_say(self, scheduler, errors, work):
        errors += [Retry("not yet")] * 7
        options = {"retries": 0, "give_up_on": Exception}
        record = finished(using(**options).schedule(work))
        assert record.state == "succeeded"
        assert record.attempts == 8
        assert record.error is None

    def test_after_the_delay_that_it_says(
        self, scheduler, clock, errors, work, wait_for_attempt
    ):
        errors.append(Retry("the index is locked", delay=1000))
        task_id = wait_for_attempt(work)
        clock.advance(999)
        assert finished(schedule(int)).state == "succeeded"
        assert scheduler.record(task_id).state == "retrying"
        clock.advance(1)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_its_reason_is_in_the_record(
        self, scheduler, errors, work, wait_for_attempt
    ):
        errors.append(Retry("the index is locked", delay=1000))
        task_id = wait_for_attempt(work)
        error = scheduler.record(task_id).error
        assert error.type == "collective.background.exceptions.Retry"
        assert error.message == "the index is locked"
        scheduler.cancel(task_id)

    def test_is_no_error_in_the_log(self, scheduler, errors, work, caplog):
        errors.append(Retry("the index is locked", delay=0))
        finished(schedule(work))
        scheduler.wait_all(TIMEOUT)
        assert "Traceback" not in caplog.text
        assert {record.levelname for record in caplog.records} <= {"INFO", "WARNING"}

    def test_undoes_what_the_attempt_has_done(self, folder, errors, work):
        errors.append(Retry(delay=0))

        def change(folder):
            folder.title += ", changed"
            work()

        assert finished(schedule(change, folder)).state == "succeeded"
        assert folder.title == "A folder, changed"

    @pytest.mark.parametrize(
        "delay", [-1, float("inf"), float("nan"), "soon", 1j, True]
    )
    def test_a_delay_that_is_none_is_refused(self, delay):
        with pytest.raises(BadOption, match=r"^delay is .* from 0 to 1e\+18$"):
            Retry(delay=delay)

    @pytest.mark.parametrize("delay", [Fraction(1, 2), Decimal("0.5"), 0.5])
    def test_a_delay_is_a_plain_number(self, delay):
        error = Retry(delay=delay)
        assert (error.delay, type(error.delay)) == (0.5, float)

    def test_a_reason_that_is_a_delay_is_refused(self):
        with pytest.raises(BadOption, match=r"reason is 60; .*Retry\(delay=60\)"):
            Retry(60)

    def test_without_a_reason(self):
        assert str(Retry()) == "the task has asked for another attempt"


@pytest.mark.usefixtures("at_once")
class TestBatches:
    def test_go_on_after_the_last_committed_chunk(self, scheduler):
        calls = Counter()

        def work(item):
            calls[item] += 1
            if item == 3 and calls[item] == 1:
                raise Retry("not yet", delay=0)

        record = finished(schedule_batch(work, range(6), size=2))
        assert record.state == "succeeded"
        assert record.attempts == 2
        assert calls == {0: 1, 1: 1, 2: 2, 3: 2, 4: 1, 5: 1}
        result, _ = scheduler.get_result(record.id)
        assert (result.done, result.failures) == (6, ())

    def test_are_tried_again_when_a_commit_fails(self, scheduler):
        calls = Counter()

        def refuse():
            raise Busy("no space left")

        def work(item):
            calls[item] += 1
            if item == 1 and calls[item] == 1:
                transaction.get().join(Voter(refuse))

        record = finished(using(retries=1).schedule_batch(work, range(3), size=1))
        assert record.state == "succeeded"
        assert calls == {0: 1, 1: 2, 2: 1}

    def test_start_over_when_all_items_have_failed(self, scheduler, errors, work):
        errors += [Busy(), Busy()]
        batch = using(retries=1).schedule_batch(lambda item: work(), range(2))
        record = finished(batch)
        assert record.state == "succeeded"
        assert record.attempts == 2
        result, _ = scheduler.get_result(record.id)
        assert (result.done, result.failures) == (2, ())


class TestRetryDelay:
    @given(
        backoff=st.floats(1e-6, 1e18),
        failures=st.integers(0, 10**9),
    )
    def test_is_random_within_a_bound_that_doubles_up_to_an_hour(
        self, backoff, failures
    ):
        options = Options(retries=10**9 + 1, backoff=backoff)
        bounds = []

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(retrying, "uniform", lambda *given: bounds.append(given))
            retry_delay(options, failures, Busy())
        assert bounds == [(0, min(3600.0, backoff * 2.0 ** min(failures, 900)))]
        assert 0 <= retry_delay(options, failures, Busy()) <= 3600

    @given(retries=st.integers(0, 20), failures=st.integers(0, 20))
    def test_none_when_there_were_enough(self, retries, failures):
        delay = retry_delay(Options(retries=retries), failures, Busy())
        assert (delay is None) == (failures >= retries)

    @given(delay=st.floats(0, 1e18), retries=st.integers(0, 3))
    def test_that_of_retry_as_it_is(self, delay, retries):
        options = Options(retries=retries)
        assert retry_delay(options, 100, Retry(delay=delay)) == delay
        assert 0 <= retry_delay(options, 100, Retry()) <= MAX_BACKOFF
