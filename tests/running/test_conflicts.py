"""Tasks that conflict: they come back, in no slot, until they get through."""

from collections import Counter
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.interfaces import ITaskRetrying
from collective.background.model.config import Settings
from collective.background.model.conflicts import ALONE
from collective.background.running import outcome
from collective.background.running import retrying
from collective.background.running.gate import gate
from collective.background.running.retrying import conflict_delay
from collective.background.running.retrying import LONGEST_CONFLICT_DELAY
from collective.background.scheduling.setbacks import without_another_run
from helpers import failure_of
from helpers import finished
from helpers import result_of
from helpers import TIMEOUT
from persistent.mapping import PersistentMapping
from plone import api
from threading import Event
from ZODB.POSException import ConflictError

import logging
import pytest
import transaction


runs = Counter()  # of the tasks of a test, by what they are called with


@pytest.fixture(autouse=True)
def forget_runs():
    runs.clear()


@pytest.fixture
def at_once(monkeypatch):
    """Let no task wait before its next run."""
    monkeypatch.setattr(retrying, "uniform", lambda low, high: 0)


@pytest.fixture
def for_long(monkeypatch):
    """Let tasks wait until they are cancelled."""
    monkeypatch.setattr(retrying, "uniform", lambda low, high: 1000.0)


@pytest.fixture
def retried(tier, subscribe):
    """Set when a task waits for its next run; in either tier."""
    retried = Event()
    subscribe(ITaskRetrying, lambda event: retried.set())
    return retried


def conflict(times, what="task"):
    """Conflict so many times, and then not any more."""
    runs[what] += 1
    if runs[what] <= times:
        raise ConflictError(f"of attempt {runs[what]}")
    return runs[what]


# Of kinds of their own, so that nobody has seen them conflict before.


def conflict_always():
    conflict(1000)


def conflict_for_long():
    conflict(2 * ALONE + 1)


def conflict_or_fail(errors):
    """Conflict, or fail, as a text says ("c" or "f" for each attempt)."""
    runs["task"] += 1
    if runs["task"] <= len(errors):
        raise ConflictError if errors[runs["task"] - 1] == "c" else ValueError


def handle_item(item, conflicts):
    """For batches. ``conflicts``: how often each item does, by its text."""
    runs[item] += 1
    if runs[item] <= conflicts.get(item, 0):
        raise ConflictError
    site = api.portal.get()
    site.description += item


def increment():
    """Increment the counter of all tasks of a test; others do it meanwhile."""
    counter = api.portal.get().counter
    value = counter["value"]
    Event().wait(0.003)
    counter["value"] = value + 1


@pytest.mark.usefixtures("at_once")
class TestGetThrough:
    @pytest.mark.parametrize("times", [1, 2, 5])
    def test_however_often_they_have_conflicted(self, tier, times):
        record = finished(schedule(conflict, times))
        assert (record.state, record.error) == ("succeeded", None)
        assert record.attempts == runs["task"] == times + 1

    def test_those_of_a_batch_go_on_where_it_was(self, tier, site):
        """Also if there are more conflicts in all than one transaction may have."""
        conflicts = dict.fromkeys("abcdef", 4)
        result = result_of(schedule_batch(handle_item, "abcdef", conflicts, size=2))
        assert result.done == 6
        transaction.begin()
        assert site.description == "abcdef"

    def test_conflicts_are_no_failures(self, tier):
        task_id = using(retries=1, backoff=0).schedule(conflict_or_fail, "cccfccc")
        record = finished(task_id)
        assert record.state == "succeeded"
        assert record.attempts == 8

    def test_one_that_always_does_fails_at_last(self, tier, caplog):
        caplog.set_level(logging.INFO, "collective.background.running")
        record, _ = failure_of(schedule(conflict_always))
        assert record.error.type == "ZODB.POSException.ConflictError"
        alone = Settings().conflict_attempts
        # Each run has two attempts.
        assert record.attempts == runs["task"] == 2 * (ALONE + alone)
        told = [r for r in caplog.records if r.name.endswith("running.ending")]
        assert [line.levelname for line in told] == [
            *["WARNING"] * (ALONE + alone - 1),
            "ERROR",
        ]
        assert [bool(line.exc_info) for line in told[:-1]] == [False] * (len(told) - 1)
        assert "conflicts with others, and waits 0.0 s" in told[0].getMessage()

    def test_only_what_conflicts_again_and_again_is_alone(self, tier, monkeypatch):
        """In its process: also without those who win, and so have no locks."""
        noted, attempt = [], gate.attempt
        monkeypatch.setattr(
            gate, "attempt", lambda alone: noted.append(alone) or attempt(alone)
        )
        finished(schedule(conflict_for_long))
        assert noted == [False] * 2 * ALONE + [True] * 2

    def test_what_fails_at_last_can_be_retried(self, tier):
        """And has all attempts again."""
        task_id = schedule(conflict, 2 * (ALONE + 3) + 4)
        assert finished(task_id).state == "failed"
        get_scheduler().retry(task_id)
        record = finished(task_id)
        assert record.state == "succeeded"


@pytest.mark.usefixtures("for_long")
class TestWhileTheyWait:
    def test_they_have_no_slot(self, retried):
        slots = get_scheduler().queues()[0].slots
        waiting = [schedule(conflict, 1000, str(number)) for number in range(slots)]
        assert finished(schedule(len, "abc")).state == "succeeded"
        for task_id in waiting:
            get_scheduler().cancel(task_id)
            assert finished(task_id).state == "cancelled"

    def test_the_record_says_so(self, retried):
        task_id = schedule(conflict, 1000)
        transaction.commit()
        assert retried.wait(TIMEOUT)
        transaction.begin()
        record = get_scheduler().record(task_id)
        assert (record.state, record.attempts) == ("retrying", 2)
        assert record.error.message == "of attempt 2"
        assert record.eta > record.created
        get_scheduler().cancel(task_id)
        transaction.commit()
        assert finished(task_id).attempts == 2

    @pytest.mark.parametrize("setback", ["conflict", "outage"])
    def test_who_is_cancelled_at_the_end_of_a_run_has_not_failed(self, setback):
        """Nor one that was cancelled just before it would have come back."""
        ended = outcome.failed(ConflictError(), retry_in=1.0, **{setback: True})
        assert without_another_run(ended, attempts=1).state == "cancelled"
        ended = outcome.failed(ValueError(), retry_in=1.0)
        assert without_another_run(ended, attempts=1) is ended


class TestDelay:
    def test_grows_up_to_a_limit(self, monkeypatch):
        monkeypatch.setattr(retrying, "uniform", lambda low, high: high)
        delays = [conflict_delay(number, 1000) for number in range(100)]
        assert delays == sorted(delays)
        assert delays[0] < delays[1] < delays[2]
        assert delays[-1] == LONGEST_CONFLICT_DELAY

    @pytest.mark.parametrize("attempts", [1, 3])
    def test_ends_after_so_many_attempts_alone(self, attempts):
        delays = [conflict_delay(number, attempts) for number in range(10)]
        given = [delay is not None for delay in delays]
        assert given == [number < ALONE + attempts - 1 for number in range(10)]


class TestMany:
    """That write the same object, so that of any two at the same time one conflicts."""

    @pytest.fixture
    def counter(self, site):
        site.counter = PersistentMapping(value=0)
        transaction.commit()
        return site.counter

    def test_all_get_through(self, counter, make_scheduler):
        scheduler = make_scheduler(concurrency=4)
        for _ in range(200):
            schedule(increment)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert counter["value"] == scheduler.count(states="succeeded") == 200

    def test_one_at_a_time_after_the_first_ones(self, counter, make_scheduler):
        """As those that wait get the lock of their kind when they are to start."""
        scheduler = make_scheduler(concurrency=4)
        for _ in range(200):
            schedule(increment)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        attempts = [record.attempts for record in scheduler.records(limit=None)]
        assert sum(attempts) < 300, Counter(attempts)
