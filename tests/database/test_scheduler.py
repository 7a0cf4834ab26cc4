"""Tasks in the database, run by this process."""

from another import elsewhere
from another import until
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from collective.background import using
from collective.background.database.scheduler import PersistentTransactionalScheduler
from collective.background.database.waiting import wait_for
from collective.background.exceptions import BadOption
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import NotPortable
from collective.background.exceptions import TaskNotFound
from collective.background.executing.executor import process_executor
from collective.background.interfaces import ITransactionalScheduler
from collective.background.showing.visibility import visible_records
from collective.background.testing import queues
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from gated_tasks import create
from gated_tasks import fail
from gated_tasks import gated
from gated_tasks import gated_until_cancelled
from gated_tasks import note
from gated_tasks import report
from helpers import finished
from helpers import note_where_they_are
from helpers import TIMEOUT
from plone import api
from plone.app.testing import SITE_OWNER_NAME
from types import SimpleNamespace
from ZODB.POSException import ConflictError
from zope.component import getGlobalSiteManager
from ZPublisher.HTTPRequest import FileUpload

import io
import pytest
import transaction


def read(upload, data):
    return upload.filename, upload.read(), len(data)


def states_of(*ids):
    transaction.begin()
    return [get_scheduler().record(id).state for id in ids]


class TestSchedule:
    def test_the_local_scheduler_hides_the_global_one(self, scheduler):
        assert isinstance(scheduler, PersistentTransactionalScheduler)

    def test_a_call(self, scheduler, folder):
        record = finished(schedule(create, folder, "new"))
        assert (record.state, record.error) == ("succeeded", None)
        assert record.attempts == 1
        assert record.created <= record.started <= record.finished
        assert record.context_path == "/plone/folder"
        assert folder["new"].portal_type == "Document"

    def test_what_an_abort_undoes_never_was(self, scheduler, folder):
        task_id = schedule(create, folder, "new")
        assert scheduler.record(task_id).state == "queued"
        transaction.abort()
        assert scheduler.record(task_id) is None
        assert scheduler.count() == 0

    def test_nor_what_a_savepoint_undoes(self, scheduler, folder):
        savepoint = transaction.savepoint()
        undone = schedule(create, folder, "undone")
        savepoint.rollback()
        done = finished(schedule(create, folder, "done"))
        assert done.state == "succeeded"
        assert scheduler.record(undone) is None
        assert "undone" not in folder

    def test_what_fails_leaves_nothing(self, scheduler, folder):
        record = finished(schedule(fail, folder))
        assert record.state == "failed"
        assert record.error.message == "it went wrong"
        assert "Traceback" in record.error.traceback
        assert folder.title == "A folder"

    @pytest.mark.parametrize("call", [lambda: None, type("Local", (), {})])
    def test_what_has_no_name_is_refused(self, scheduler, call):
        """Another process could not find it."""
        with pytest.raises(NotPortable, match="another process"):
            schedule(call)
        transaction.commit()
        assert scheduler.count() == 0

    def test_an_unknown_queue_is_refused(self, scheduler):
        with pytest.raises(BadOption, match="no queue 'imports'"):
            using(queue="imports").schedule(len, "x")

    def test_uploads_and_long_values_are_carried(self, scheduler):
        data = b"x" * 2_000_000
        field = SimpleNamespace(
            file=io.BytesIO(data), headers={"A": "b"}, filename="f.bin", name="f"
        )
        task_id = finished(schedule(read, FileUpload(field), data)).id
        assert scheduler.get_result(task_id)[0] == ("f.bin", data, len(data))

    def test_a_view(self, scheduler, folder):
        task_id = finished(schedule_view(folder, "@@plone_context_state/view_url")).id
        response, exception = scheduler.get_result(task_id)
        assert exception is None
        assert response.body == folder.absolute_url().encode()


class TestResults:
    def test_are_consumed_by_the_transaction_that_reads_them(self, scheduler):
        task_id = finished(schedule(len, "abc")).id
        assert scheduler.peek_result(task_id) == 3
        assert scheduler.get_result(task_id) == (3, None)
        transaction.abort()
        assert scheduler.get_result(task_id) == (3, None)
        transaction.commit()
        assert scheduler.get_result(task_id) is None
        assert scheduler.completed(task_id) is None

    def test_as_often_as_it_asks(self, scheduler):
        task_id = finished(schedule(len, "abc")).id
        for _ in range(2):
            assert scheduler.get_result(task_id) == (3, None)
        transaction.commit()
        assert scheduler.get_result(task_id) is None

    def test_unless_it_is_rolled_back(self, scheduler, folder):
        """What else it has done stays undone as well, and the result is there."""
        task_id = finished(schedule(len, "abc")).id
        folder.title = "changed"
        assert scheduler.get_result(task_id) == (3, None)
        transaction.abort()
        transaction.commit()
        assert scheduler.record(task_id).state == "succeeded"

    def test_of_two_that_read_it_at_once(self, scheduler):
        """Only one goes through; the other one is repeated, and finds none."""
        task_id = finished(schedule(len, "abc")).id
        with elsewhere(scheduler) as (mine, manager):
            assert mine.get_result(task_id) == (3, None)
            assert scheduler.get_result(task_id) == (3, None)
            manager.commit()
            with pytest.raises(ConflictError):
                transaction.commit()

    def test_an_exception(self, scheduler):
        task_id = finished(schedule(fail)).id
        result, exception = scheduler.get_result(task_id)
        assert result is None
        assert (type(exception), str(exception)) == (ValueError, "it went wrong")

    def test_there_is_none_before_the_end(self, scheduler, gates):
        task_id = schedule(gated)
        transaction.commit()
        gates.wait()
        transaction.begin()
        assert scheduler.get_result(task_id) is False
        assert scheduler.completed(task_id) is False


class TestReports:
    def test_a_running_task_tells_what_it_does(self, scheduler, folder, gates):
        task_id = schedule(report, folder)
        transaction.commit()
        gates.wait()

        def progress():
            transaction.begin()
            return scheduler.record(task_id)

        for _ in iter(lambda: progress().progress.done, 3):
            pass
        record = progress()
        assert record.state == "running"
        assert record.progress.message == "almost a third"
        assert record.progress.total == 10
        assert [message.text for message in record.messages] == ["so far so good"]
        assert record.log == ("WARNING an.add-on something odd",)
        gates.opened.set()
        record = scheduler.wait(task_id, TIMEOUT)
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        record = scheduler.record(task_id)
        assert record.progress.done == 3
        assert [message.text for message in record.messages] == [
            "so far so good",
            "Done",
        ]
        assert record.log == ("WARNING an.add-on something odd",)

    def test_arguments(self, scheduler, folder):
        task_id = finished(schedule(create, folder, "new")).id
        assert dict(scheduler.arguments(task_id))["id"] == "new"


class TestControl:
    @pytest.fixture
    def waiting(self, scheduler, folder):
        """The id of a task in a paused queue."""
        scheduler.pause("default")
        task_id = schedule(create, folder, "new")
        transaction.commit()
        transaction.begin()
        yield task_id
        scheduler.resume("default")

    def test_it_takes_effect_whatever_becomes_of_the_transaction(
        self, scheduler, waiting, folder
    ):
        record = scheduler.cancel(waiting)
        assert record.state == "cancelled"
        assert "before it had begun" in record.error.message
        transaction.abort()
        assert states_of(waiting) == ["cancelled"]
        scheduler.resume("default")
        scheduler.wait_all(TIMEOUT)
        assert "new" not in folder

    def test_of_what_is_not_committed_yet(self, scheduler, folder):
        task_id = schedule(create, folder, "new")
        assert scheduler.cancel(task_id).state == "cancelled"
        assert finished(task_id).state == "cancelled"

    def test_cancel_a_running_one(self, scheduler, gates):
        task_id = schedule(gated_until_cancelled)
        transaction.commit()
        gates.wait()
        transaction.begin()
        record = scheduler.cancel(task_id)
        assert (record.state, record.cancel_requested) == ("running", True)
        assert scheduler.wait(task_id, TIMEOUT).state == "cancelled"

    def test_retry(self, scheduler, folder):
        task_id = finished(schedule(create, folder, "folder/bad id")).id
        assert states_of(task_id) == ["failed"]
        assert scheduler.retry(task_id).state == "queued"
        record = scheduler.wait(task_id, TIMEOUT)
        assert (record.state, record.attempts) == ("failed", 2)

    def test_retry_of_what_succeeded(self, scheduler):
        task_id = finished(schedule(len, "x")).id
        with pytest.raises(IllegalTransition, match="succeeded"):
            scheduler.retry(task_id)

    def test_pause(self, scheduler, waiting):
        queue, _ = scheduler.queues()
        assert (queue.name, queue.waiting, queue.paused) == ("default", 1, True)
        with queues(other=1):  # who looks at one queue looks at all
            finished(using(queue="other").schedule(len, "x"))
            assert scheduler.record(waiting).state == "queued"
        scheduler.resume("default")
        assert scheduler.wait(waiting, TIMEOUT).state == "succeeded"

    def test_dismiss_and_remove(self, scheduler):
        task_id = finished(schedule(len, "x")).id
        assert scheduler.dismiss(task_id).dismissed
        transaction.begin()
        assert scheduler.count(dismissed=False) == 0
        scheduler.remove(task_id)
        transaction.begin()
        assert scheduler.record(task_id) is None
        assert scheduler.count() == 0
        scheduler.remove(task_id)

    def test_remove_a_running_one(self, scheduler, gates):
        task_id = schedule(gated_until_cancelled)
        transaction.commit()
        gates.wait()
        transaction.begin()
        scheduler.remove(task_id)
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert scheduler.record(task_id) is None

    @pytest.mark.parametrize("call", ["cancel", "retry", "dismiss"])
    def test_of_an_unknown_task(self, scheduler, call):
        with pytest.raises(TaskNotFound):
            getattr(scheduler, call)("0" * 32)


class TestOptions:
    def test_unique(self, scheduler, gates):
        first = using(unique="a").schedule(gated)
        assert using(unique="a").schedule(gated) == first
        transaction.commit()
        gates.wait()
        transaction.begin()
        assert using(unique="a").schedule(gated) == first
        transaction.commit()
        gates.opened.set()
        scheduler.wait(first, TIMEOUT)
        transaction.begin()
        other = using(unique="a").schedule(len, "x")
        assert other != first
        assert finished(other).state == "succeeded"

    def test_delay(self, scheduler):
        task_id = using(delay=3600).schedule(len, "x")
        transaction.commit()
        transaction.begin()
        record = scheduler.record(task_id)
        assert record.eta - datetime.now(UTC) > timedelta(minutes=59)
        finished(schedule(len, "scheduled later, and due now"))
        assert scheduler.record(task_id).state == "queued"
        assert scheduler.cancel(task_id).state == "cancelled"

    def test_a_short_delay(self, scheduler):
        record = finished(using(delay=0.3).schedule(len, "x"))
        wait = record.started - record.created
        assert wait >= timedelta(seconds=0.3)

    def test_after(self, scheduler, folder):
        first = schedule(create, folder, "first")
        second = using(after=first).schedule(create, folder, "second")
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert states_of(first, second) == ["succeeded", "succeeded"]
        assert scheduler.record(first).finished <= scheduler.record(second).started

    def test_after_one_that_fails(self, scheduler, folder):
        first = schedule(fail)
        second = using(after=first).schedule(create, folder, "second")
        third = using(after=second).schedule(create, folder, "third")
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert states_of(first, second, third) == ["failed", "cancelled", "cancelled"]
        assert first in scheduler.record(second).error.message

    def test_retries(self, scheduler):
        record = finished(using(retries=2, backoff=0.01).schedule(fail))
        assert (record.state, record.attempts) == ("failed", 3)

    @pytest.mark.parametrize("work,state", [(len, "succeeded"), (fail, "failed")])
    def test_callbacks(self, scheduler, persistent_site, work, state):
        options = {"title": "Work", "on_success": note, "on_failure": note}
        transaction.begin()
        using(**options).schedule(work, "" if work is len else None)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert persistent_site.description == f"Work: {state}"

    def test_timeout(self, scheduler, gates):
        record = finished(using(timeout=0.01).schedule(gated_until_cancelled))
        assert record.error.type.endswith("TaskTimedOut")

    def test_one_whose_turn_comes_too_late(self, scheduler):
        record = finished(using(begin_by=0.000001, retries=1).schedule(len, "x"))
        assert record.error.type.endswith("TooLate")
        assert scheduler.retry(record.id).state == "queued"
        assert scheduler.wait(record.id, TIMEOUT).state == "succeeded"


class TestGroups:
    def test_a_group(self, scheduler, folder, persistent_site):
        with group("All", on_success=note) as whole:
            for id in ("a", "b", "c"):
                schedule(create, folder, id)
        transaction.commit()
        record = scheduler.wait(whole.id, TIMEOUT)
        assert (record.title, record.state) == ("All", "succeeded")
        assert (record.progress.done, record.progress.total) == (3, 3)
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert persistent_site.description == "All: succeeded"
        assert scheduler.count(group_id=whole.id) == 3

    def test_cancel_retry_and_remove_the_whole(self, scheduler, folder):
        scheduler.pause("default")
        with group("All") as whole:
            for id in ("a", "b"):
                schedule(create, folder, id)
        transaction.commit()
        transaction.begin()
        assert scheduler.cancel(whole.id).state == "cancelled"
        scheduler.resume("default")
        transaction.begin()
        assert scheduler.retry(whole.id).state == "queued"
        assert scheduler.wait(whole.id, TIMEOUT).state == "succeeded"
        transaction.begin()
        with pytest.raises(IllegalTransition):
            scheduler.retry(whole.id)
        scheduler.remove(whole.id)
        transaction.begin()
        assert scheduler.record(whole.id) is None


class TestBatches:
    def test_a_batch(self, scheduler, folder):
        def titles():
            return sorted(folder.objectIds())

        task_id = finished(
            schedule_batch(create_in, ["a", "b", "bad id/", "c"], folder, size=2)
        ).id
        assert titles() == ["a", "b", "c"]
        record = scheduler.record(task_id)
        assert (record.progress.done, record.progress.total) == (4, 4)
        result, _ = scheduler.get_result(task_id)
        assert result.done == 3
        assert [failure.index for failure in result.failures] == [2]

    def test_few_items_at_once(self, scheduler, folder):
        task_id = schedule_batch(create_in, ["a"], folder, inline_below=2)
        assert scheduler.record(task_id).state == "succeeded"
        assert "a" in folder
        transaction.abort()
        assert scheduler.record(task_id) is None
        assert "a" not in folder


def create_in(id, folder):
    api.content.create(folder, "Document", id, safe_id=False)


class TestRecords:
    def test_filters(self, scheduler, persistent_site):
        failed = finished(using(title="Wrong").schedule(fail)).id
        done = [finished(schedule(len, "x")).id for _ in range(3)]

        def ids(**filters):
            return [record.id for record in scheduler.records(**filters)]

        assert ids() == [*done[::-1], failed]
        assert ids(states="failed") == ids(text="wrong") == [failed]
        assert ids(start=1, limit=2) == done[1::-1]
        assert ids(user_id="nobody") == []
        assert ids(sort_on="created", descending=False) == [failed, *done]
        assert scheduler.count(states=["succeeded"]) == 3
        assert [record.id for record in visible_records()] == ids()

    def test_of_one_user(self, scheduler):
        ids = [
            finished(schedule(len, "x")).id,
            finished(using(user=SITE_OWNER_NAME).schedule(len, "x")).id,
        ]
        for task_id in ids:
            record = scheduler.record(task_id)
            user = {"user_path": record.user_path, "user_id": record.user_id}
            assert [found.id for found in scheduler.records(**user)] == [task_id]
            assert scheduler.count(**user, states="succeeded") == 1
            assert scheduler.count(**user, states="failed") == 0


def test_instances(scheduler, gates):
    schedule(gated)
    transaction.commit()
    gates.wait()

    def look(mine):
        found = mine.instances()
        return bool(found and found[0].running), found

    (instance,), _ = wait_for(scheduler, look, TIMEOUT)
    assert instance.id == process_executor().instance
    assert (instance.slots, instance.running) == ({"default": 2, "mail": 1}, 1)
    (itself,) = getGlobalSiteManager().getUtility(ITransactionalScheduler).instances()
    assert itself.running == 0


def test_what_no_task_can_be_is_not_known(scheduler):
    for id in (None, "", "x", 7):
        assert scheduler.record(id) is None
        assert scheduler.peek_result(id) is None


def test_subscribers_are_in_the_site_and_have_the_result(scheduler, subscribe):
    seen = note_where_they_are(subscribe)
    finished(schedule(len, "four"))
    scheduler.wait_all(TIMEOUT)
    until(lambda: seen)
    assert seen == [("/plone", "System Processes", 4)]
