"""Groups: tasks with one progress, one state and one end."""

from collective.background import current_task
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import WaitTimeout
from collective.background.testing import drain
from helpers import finished
from helpers import TIMEOUT
from plone import api
from plone.app.testing import TEST_USER_ID

import pytest
import threading
import transaction


ended = []


@pytest.fixture(autouse=True)
def nothing_has_ended():
    ended.clear()


def note(record):
    """A callback."""
    ended.append((record.id, record.state, api.user.get_current().getId()))


def fail(text="it did not work"):
    raise ValueError(text)


@pytest.fixture
def scheduler(functional, make_scheduler):
    scheduler = make_scheduler(concurrency=2)
    yield scheduler
    scheduler.resume("default")


def run(group_id, scheduler):
    """Commit, wait for the group and what follows it, and return its record."""
    transaction.commit()
    record = scheduler.wait(group_id, TIMEOUT)
    drain()
    return record


class TestRecord:
    def test_of_tasks_that_wait(self, scheduler):
        scheduler.pause("default")
        with group(title="Three rows") as rows:
            ids = [schedule(len, "abc") for _ in range(3)]
        transaction.commit()
        record = scheduler.record(rows.id)
        assert (record.kind, record.title, record.state) == (
            "group",
            "Three rows",
            "queued",
        )
        assert (record.progress.done, record.progress.total) == (0, 3)
        assert record.user_id == TEST_USER_ID
        assert scheduler.completed(rows.id) is False
        members = scheduler.records(group_id=rows.id)
        assert [member.id for member in members] == ids[::-1]
        assert {member.group_id for member in members} == {rows.id}

    def test_when_all_have_succeeded(self, scheduler):
        with group() as rows:
            for text in ("a", "bc"):
                schedule(len, text)
        record = run(rows.id, scheduler)
        assert record.state == "succeeded"
        assert (record.progress.done, record.progress.total) == (2, 2)
        assert record.created <= record.started <= record.finished
        assert scheduler.completed(rows.id) is True

    def test_while_some_still_run(self, scheduler):
        go_on, begun = threading.Event(), threading.Event()

        def wait():
            begun.set()
            go_on.wait(TIMEOUT)

        with group() as rows:
            first = schedule(len, "a")
            schedule(wait)
        finished(first)
        begun.wait(TIMEOUT)
        record = scheduler.record(rows.id)
        assert (record.state, record.progress.done) == ("running", 1)
        assert record.finished is None
        with pytest.raises(WaitTimeout):
            scheduler.wait(rows.id, 0)
        go_on.set()
        assert scheduler.wait(rows.id, TIMEOUT).state == "succeeded"

    def test_with_one_that_fails(self, scheduler):
        with group() as rows:
            schedule(fail)
            schedule(len, "a")
        record = run(rows.id, scheduler)
        assert record.state == "failed"
        assert record.error.type == "collective.background.exceptions.GroupFailed"
        assert record.error.message == (
            "1 of 2 failed; the first one, 'test_groups.fail': it did not work"
        )
        assert record.progress.done == 2

    def test_what_is_scheduled_elsewhere_does_not_belong_to_it(self, scheduler):
        before = schedule(len, "a")
        with group() as rows:
            inside = schedule(schedule, len, "of a task")
        after = schedule(len, "b")
        run(rows.id, scheduler)
        assert [r.id for r in scheduler.records(group_id=rows.id)] == [inside]
        assert scheduler.record(before).group_id is None
        assert scheduler.record(after).group_id is None

    def test_batches_belong_to_it_even_if_done_at_once(self, scheduler):
        with group() as rows:
            schedule_batch(len, ["a", "b"], inline_below=3)
            schedule_batch(len, ["a", "b"])
        record = run(rows.id, scheduler)
        assert (record.state, record.progress.total) == ("succeeded", 2)

    def test_a_batch_that_fails_at_once_does_not(self, scheduler):
        """It reaches the caller, and there is no task."""
        with group() as rows:
            schedule(len, "abc")
            with pytest.raises(ValueError):
                schedule_batch(fail, ["a"], inline_below=10)
        record = run(rows.id, scheduler)
        assert (record.state, record.progress.total) == ("succeeded", 1)

    def test_a_batch_that_fails_at_once_leaves_none_behind(self, scheduler):
        with group() as rows:
            schedule(len, "abc")
            with pytest.raises(ValueError):
                schedule_batch(fail, ["a"], inline_below=10)
        transaction.abort()
        assert scheduler.record(rows.id) is None

    def test_is_forgotten_with_its_tasks(self, scheduler):
        with group() as rows:
            schedule(len, "a")
            schedule(len, "b")
        run(rows.id, scheduler)
        scheduler.remove(rows.id)
        assert scheduler.record(rows.id) is None
        assert scheduler.records(group_id=rows.id) == []

    def test_is_forgotten_by_an_abort(self, scheduler):
        with group() as rows:
            schedule(len, "a")
        assert scheduler.record(rows.id).state == "queued"
        transaction.abort()
        assert scheduler.record(rows.id) is None

    def test_without_tasks_it_has_succeeded_at_the_commit(self, scheduler):
        with group(on_success=note) as rows:
            pass
        record = scheduler.record(rows.id)
        assert (record.state, record.user_id) == ("queued", TEST_USER_ID)
        record = run(rows.id, scheduler)
        assert (record.state, record.progress.total) == ("succeeded", 0)
        assert [state for _, state, _ in ended] == ["succeeded"]

    def test_what_a_savepoint_forgets_does_not_count(self, scheduler):
        with group() as rows:
            schedule(len, "a")
            savepoint = transaction.savepoint()
            schedule(fail)
            savepoint.rollback()
        record = run(rows.id, scheduler)
        assert (record.state, record.progress.total) == ("succeeded", 1)


class TestRetention:
    def test_a_group_goes_when_its_tasks_are_too_old(self, make_scheduler):
        """At once, here; and still it is told."""
        told = []

        def tell(record):
            told.append((record.id, record.state))

        scheduler = make_scheduler(keep=0)
        with group(title="All", on_success=tell) as rows:
            schedule(len, "a")
        with group() as empty:
            pass
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert told == [(rows.id, "succeeded")]
        assert scheduler.record(rows.id) is None
        assert scheduler.record(empty.id) is None


class TestCallbacks:
    def test_on_success_is_called_once(self, scheduler):
        with group(on_success=note, on_failure=fail) as rows:
            for _ in range(20):
                schedule(len, "a")
        run(rows.id, scheduler)
        assert ended == [(rows.id, "succeeded", TEST_USER_ID)]
        assert scheduler.count(states={"failed"}) == 0

    def test_on_failure_when_the_last_has_ended(self, scheduler):
        with group(on_success=fail, on_failure=note) as rows:
            schedule(fail)
            for _ in range(5):
                schedule(len, "a")
        run(rows.id, scheduler)
        assert ended == [(rows.id, "failed", TEST_USER_ID)]

    def test_none_when_it_was_cancelled(self, scheduler):
        scheduler.pause("default")
        with group(on_success=note, on_failure=note) as rows:
            schedule(len, "a")
        transaction.commit()
        scheduler.cancel(rows.id)
        scheduler.resume("default")
        drain()
        assert ended == []

    def test_again_after_a_retry(self, scheduler):
        attempts = []

        def fail_at_first():
            attempts.append(1)
            if len(attempts) == 1:
                fail()

        with group(on_success=note, on_failure=note) as rows:
            schedule(fail_at_first)
            schedule(len, "a")
        run(rows.id, scheduler)
        assert scheduler.retry(rows.id).state == "running"
        assert run(rows.id, scheduler).state == "succeeded"
        assert [state for _, state, _ in ended] == ["failed", "succeeded"]
        assert scheduler.record(rows.id).progress.total == 2

    def test_of_one_that_is_done_at_once(self, scheduler):
        with group(on_success=note) as rows:
            schedule_batch(len, ["a"], inline_below=2)
        assert ended == []
        run(rows.id, scheduler)
        assert [state for _, state, _ in ended] == ["succeeded"]

    def test_are_checked_at_once(self, functional):
        with pytest.raises(BadOption, match="on_success"), group(on_success="note"):
            pass
        with pytest.raises(BadCall), group(on_failure=lambda: None):
            pass


class TestControl:
    def test_cancel_is_for_all(self, scheduler):
        begun = threading.Event()
        go_on = threading.Event()

        def work():
            begun.set()
            go_on.wait(TIMEOUT)
            current_task().check_cancelled()

        with group() as rows:
            for _ in range(5):
                schedule(work)
        transaction.commit()
        begun.wait(TIMEOUT)
        record = scheduler.cancel(rows.id)
        assert record.cancel_requested
        assert record.progress.done >= 3
        go_on.set()
        assert run(rows.id, scheduler).state == "cancelled"

    def test_retry_is_for_those_that_have_not_succeeded(self, scheduler):
        with group() as rows:
            good = schedule(len, "a")
            bad = schedule(fail)
        run(rows.id, scheduler)
        scheduler.retry(rows.id)
        run(rows.id, scheduler)
        assert scheduler.record(good).attempts == 1
        assert scheduler.record(bad).state == "failed"

    def test_retry_of_one_that_has_succeeded_is_refused(self, scheduler):
        with group() as rows:
            schedule(len, "a")
        run(rows.id, scheduler)
        with pytest.raises(IllegalTransition, match=rows.id):
            scheduler.retry(rows.id)
