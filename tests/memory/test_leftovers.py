"""What had not ended when its process did is shown as lost by the next one."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import IllegalTransition
from collective.background.executing.deadline import Deadline
from collective.background.memory import leftovers
from collective.background.memory import lifecycle
from collective.background.memory.scheduler import TransactionalScheduler
from collective.background.model.config import Settings
from collective.background.showing import visibility
from helpers import finished
from helpers import waiting
from plone import api
from types import SimpleNamespace

import json
import pytest
import stat
import transaction


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Zope's client home."""
    configuration = SimpleNamespace(clienthome=str(tmp_path))
    monkeypatch.setattr(leftovers, "getConfiguration", lambda: configuration)
    return tmp_path


@pytest.fixture
def left(folder, home):
    """The ids of two tasks that the process has lost: the file is there."""
    here = get_scheduler().lifecycle
    with waiting():
        ids = [
            using(title="An import").schedule(api.content.get_path, folder),
            schedule(int),
        ]
        transaction.commit()
        tasks = [here.get(id) for id in ids]
        get_scheduler().cancel(ids[1])
        here._lose(tasks[:1])
        leftovers.leave_word(here, tasks)
    for id in ids:
        get_scheduler().remove(id)
    return ids


def begin(**settings):
    executor = SimpleNamespace(settings=Settings(**settings))
    leftovers.serving_begins(SimpleNamespace(executor=executor))


def test_workers_of_celery_leave_it_to_others(home, left):
    """There may be new ones at any time, and nobody looks at them."""
    begin(role="celery")
    assert list(home.iterdir())


def test_only_the_user_of_the_process_can_read_it(home, left):
    (path,) = home.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = json.loads(path.read_text())
    assert told["version"] == leftovers.VERSION
    assert not {"arguments", "messages", "log"}.intersection(told["tasks"][0])


def test_it_is_shown_as_lost(home, left, folder):
    begin()
    record = get_scheduler().record(left[0])
    assert (record.title, record.state) == ("An import", "lost")
    assert record.context_path == "/".join(folder.getPhysicalPath())
    assert record.error.public_text == (
        "The server was stopped before the task had ended."
    )
    assert record.finished >= record.created
    assert left[0] in [each.id for each in visibility.visible_records(states="lost")]
    assert list(home.iterdir()) == []


def test_it_can_be_dismissed_but_not_tried_again(home, left):
    begin()
    assert not get_scheduler().record(left[0]).can_be_retried
    with pytest.raises(IllegalTransition, match="so were its arguments"):
        get_scheduler().retry(left[0])
    assert get_scheduler().arguments(left[0]) == ()
    assert visibility.dismiss_task(left[0]).dismissed


def test_nothing_is_written_where_all_has_ended(folder, home):
    task = get_scheduler().lifecycle.get(finished(schedule(int)).id)
    leftovers.leave_word(get_scheduler().lifecycle, [task])
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", '{"version": 99, "tasks": []}'])
def test_a_file_that_cannot_be_read_does_no_harm(folder, home, text):
    (home / f"{leftovers.NAME}x.json").write_text(text)
    begin()
    assert list(home.iterdir()) == []


def test_a_task_that_is_not_told_well_keeps_no_other_from_being_told(home, left):
    (path,) = home.iterdir()
    word = json.loads(path.read_text())
    word["tasks"].insert(0, {"id": "nothing else"})
    path.write_text(json.dumps(word))
    begin()
    assert get_scheduler().record(left[0]).state == "lost"
    assert list(home.iterdir()) == []


def test_a_file_of_somebody_else_does_no_harm(home, left, monkeypatch, caplog):
    def refuse(self, target):
        raise PermissionError(self)

    monkeypatch.setattr(leftovers.Path, "rename", refuse)
    begin()
    assert "cannot be read" in caplog.text


def test_a_folder_that_cannot_be_written_is_logged(left, home, monkeypatch, caplog):
    begin()
    monkeypatch.setattr(leftovers, "_folder", lambda: home / "missing")
    tasks = get_scheduler().lifecycle
    leftovers.leave_word(tasks, [tasks.get(left[0])])
    assert "cannot be kept in" in caplog.text


@pytest.mark.parametrize("serves", [True, False])
def test_a_process_that_serves_leaves_it_at_its_end(folder, home, monkeypatch, serves):
    monkeypatch.setattr(lifecycle, "is_serving", lambda: serves)
    scheduler = TransactionalScheduler(settings=Settings())
    scheduler.pause("default")
    task_id = scheduler.schedule(int)
    transaction.commit()
    scheduler.stop()
    scheduler.leave(Deadline(0))
    assert [each.by for each in scheduler.record(task_id).interventions] == ["shutdown"]
    assert len(list(home.iterdir())) == serves
