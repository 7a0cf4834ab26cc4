"""The control panel shows, and changes, tasks that are in the database."""

from collective.background import get_scheduler
from collective.background import using
from collective.background.database.installing import install
from collective.background.testing import serving
from helpers import finished
from helpers import TIMEOUT

import pytest
import transaction


def fail(number):
    raise ValueError(f"row {number} has no name")


@pytest.fixture
def task_id(portal):
    """The id of a task that has failed, in the database."""
    install(portal)
    transaction.commit()
    with serving():
        yield finished(using(title="An import").schedule(fail, 7)).id
        transaction.abort()


def test_list(boss, task_id):
    assert boss.look().ids() == [task_id]


def test_page_of_a_task(boss, task_id):
    boss.look(f"@@background-task/{task_id}")
    assert "row 7 has no name" in boss.contents
    assert boss.texts("#background-task-arguments td") == ["7"]


def test_activity(boss, task_id):
    boss.look("@@background-tasks-activity")
    assert boss.texts("tr[data-queue]")
    assert boss.find_all("rect.failed")


def test_retry(boss, task_id):
    before = get_scheduler().record(task_id)
    boss.look().press("action", "retry", **{"ids:list": [task_id]})
    assert "1 queued again" in boss.contents
    transaction.begin()
    record = get_scheduler().wait(task_id, TIMEOUT)
    assert record.started > before.started
    assert record.state == "failed"


def test_delete(boss, task_id):
    boss.look().press("action", "delete", **{"ids:list": [task_id]})
    assert "1 deleted" in boss.contents
    transaction.begin()
    assert get_scheduler().record(task_id) is None


def test_pause(boss, task_id):
    boss.look("@@background-tasks-activity").press("pause", "default")
    transaction.begin()
    assert [q.paused for q in get_scheduler().queues() if q.name == "default"] == [True]
