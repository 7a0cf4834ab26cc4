"""What a task did is undone in the database, as a manager does it in Zope."""

from another import until
from collective.background import schedule
from collective.background import using
from collective.background.database import ends
from collective.background.database.outbox import current_watch
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import ResultGone
from gated_tasks import create
from helpers import finished
from helpers import TIMEOUT
from plone.testing import zodb
from ZODB import DB
from ZODB.DemoStorage import DemoStorage
from ZODB.FileStorage import FileStorage

import pytest
import transaction


@pytest.fixture(autouse=True)
def file_storage(tmp_path, monkeypatch):
    """The database of the test, whose transactions can be undone."""

    def stack(db, name):
        changes = FileStorage(
            str(tmp_path / "Data.fs"), blob_dir=str(tmp_path / "blobs")
        )
        return DB(DemoStorage(name, base=db.storage, changes=changes))

    monkeypatch.setattr(zodb, "stackDemoStorage", stack)


@pytest.fixture
def undo(scheduler):
    """Return a function that undoes the transactions which have this in their note."""
    database = scheduler._p_jar.db()

    def undo(text):
        transaction.begin()
        found = [
            entry["id"]
            for entry in database.undoLog(0, 1000)
            if text in str(entry["description"])
        ]
        assert found
        database.undoMultiple(found)
        transaction.commit()
        transaction.begin()

    return undo


def is_gone(scheduler, task_id):
    """Whether the result of a task that has succeeded reads as gone."""
    assert scheduler.record(task_id).state == "succeeded"
    result, exception = scheduler.get_result(task_id)
    transaction.abort()
    assert result is None
    assert task_id in str(exception)
    return isinstance(exception, ResultGone)


def test_of_what_a_task_did_to_content(scheduler, folder, undo):
    record = finished(using(title="Create").schedule(create, folder, "new"))
    assert "new" in folder
    undo("Create")
    assert "new" not in folder
    assert is_gone(scheduler, record.id)
    assert scheduler.record(record.id).attempts == 1
    assert scheduler.record(record.id).finished == record.finished
    with pytest.raises(IllegalTransition):
        scheduler.retry(record.id)
    finished(schedule(len, "x"))  # after a few more looks it did not run again
    assert "new" not in folder


def test_of_what_a_batch_did(scheduler, folder, undo):
    """The transactions of all its parts together."""
    options = using(title="Create many")
    batch = options.schedule_batch(create_in, ["a", "b", "c"], folder, size=1)
    finished(batch)
    undo("Create many")
    assert folder.objectIds() == []
    assert is_gone(scheduler, batch)


def create_in(id, folder):
    create(folder, id)


def test_of_what_a_batch_did_before_and_after_a_restart(scheduler, folder, undo):
    """Nothing has changed its status but the parts themselves."""
    options = using(title="Create many", rerun=True)
    batch = options.schedule_batch(create_and_stop, ["a", "b", "c"], folder, size=1)
    record = finished(batch)
    assert [attempt.state for attempt in record.timeline] == ["cancelled", "succeeded"]
    undo("Create many")
    assert folder.objectIds() == []
    assert is_gone(scheduler, batch)


def create_and_stop(id, folder):
    """The first one as if its process was to end."""
    create(folder, id)
    if id == "a":
        (feeder,) = current_watch()._known()
        (held,) = feeder.held.running()
        held.is_stopping = held.task.is_stopping = True


def test_before_the_end_is_settled(scheduler, folder, undo, monkeypatch):
    """It counts as a success nevertheless, and does not run again."""
    with monkeypatch.context() as patch:
        patch.setattr(ends, "settle_ends", lambda look, *only: None)
        task_id = using(title="Create").schedule(create, folder, "new")
        transaction.commit()
        until(lambda: scheduler.record(task_id).state == "succeeded")
        undo("Create")
        assert scheduler.shards.find(task_id).is_reserved
    assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
    transaction.begin()
    assert is_gone(scheduler, task_id)
    assert "new" not in folder


def test_in_the_transaction_that_has_scheduled_it(scheduler, folder, undo):
    """Then it was never scheduled."""
    scheduler.pause("default")
    task_id = schedule(create, folder, "new")
    transaction.get().note("Scheduled here")
    transaction.commit()
    undo("Scheduled here")
    assert scheduler.record(task_id) is None
    scheduler.resume("default")
    assert finished(schedule(len, "x")).state == "succeeded"
