"""Which task has waited longest in a queue, and what keeps tasks waiting."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.controlpanel import queues
from collective.background.controlpanel.queues import queue_rows
from collective.background.controlpanel.queues import Row
from collective.background.controlpanel.queues import warnings
from collective.background.database.installing import install
from collective.background.model.records import InstanceStatus
from collective.background.model.records import QueueStatus
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from helpers import waiting
from plone.app.testing import login
from types import SimpleNamespace
from zope.i18n import translate

import pytest
import transaction


NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds):
    return seconds and NOW - timedelta(seconds=seconds)


def row(seconds=None, begun=None, **values):
    """Return a Row of which one has waited for so long, and one was begun then."""
    status = {"slots": 2, "running": 1, "waiting": 1, "paused": False}
    status = QueueStatus(**({"name": "mail"} | status | values))
    return Row(status=status, since=ago(seconds), begun=ago(begun))


@pytest.mark.parametrize(
    ("found", "is_stuck"),
    [
        (row(), False),
        (row(59), False),
        (row(61), True),
        (row(61, running=2), False),
        (row(61, paused=True), False),
        (row(600, begun=59), False),
        (row(600, begun=61), True),
    ],
)
def test_tasks_are_not_to_wait_for_nothing(found, is_stuck):
    assert found.is_stuck(NOW) is is_stuck


@pytest.fixture(params=["memory", "database"])
def waiting_tasks(request, portal):
    """The ids of four that wait: delayed, two that could start, after the second."""
    if request.param == "database":
        install(portal)
        transaction.commit()
    login(portal, "boss")
    with waiting():
        transaction.commit()
        later = using(delay=600).schedule(int)
        first, second = schedule(int), schedule(int)
        ids = later, first, second, using(after=[second]).schedule(int)
        transaction.commit()
        yield ids
        transaction.begin()
        for id in reversed(ids):
            get_scheduler().cancel(id)
        transaction.commit()


def default_row(now):
    rows = queue_rows([], now)
    return next(row for row in rows if row.status.name == "default")


def test_the_oldest_is_one_that_could_start(boss, waiting_tasks):
    _, first, *_ = waiting_tasks
    found = default_row(datetime.now(UTC))
    assert found.oldest.id == first
    boss.look("@@background-tasks-activity")
    assert boss.find(f"tr[data-queue=default] a[href*='{first}']")


def test_what_was_delayed_could_start_when_its_time_has_come(waiting_tasks):
    later, *_ = waiting_tasks
    found = default_row(datetime.now(UTC) + timedelta(seconds=601))
    assert found.oldest.id == later
    assert found.since - found.oldest.created > timedelta(seconds=590)


def test_of_too_many_it_is_known_that_they_wait(waiting_tasks, monkeypatch):
    *_, second, _ = waiting_tasks
    monkeypatch.setattr(queues, "LOOKED_AT", 2)  # the newest: after, second
    found = default_row(datetime.now(UTC))
    assert found.oldest is None
    assert found.since == get_scheduler().record(second).created


def test_what_was_begun_last_is_known(waiting_tasks):
    running = [
        SimpleNamespace(queue=queue, began=ago(seconds))
        for queue, seconds in [("default", 9), ("default", 5), ("mail", 1)]
    ]
    found = [r for r in queue_rows(running, NOW) if r.status.name == "default"]
    assert [row.begun for row in found] == [ago(5)]


def test_the_page_of_a_task_says_why_it_waits(boss, waiting_tasks):
    *_, second, after = waiting_tasks
    boss.look(f"@@background-task/{after}")
    assert boss.texts("#background-task-reason") == ["after “builtins.int”"]
    boss.look(f"@@background-task/{second}")
    assert boss.texts("#background-task-reason") == ["the queue is paused"]


def test_so_does_the_list(boss, waiting_tasks):
    assert boss.look().texts(".background-tasks-reason") == [
        "after “builtins.int”",
        *["the queue is paused"] * 3,
    ]


def test_without_a_process_that_executes_it_says_so(boss, waiting_tasks, monkeypatch):
    monkeypatch.setattr(queues, "get_scheduler", lambda: Idle(get_scheduler()))
    boss.look("@@background-tasks-activity")
    assert "No process executes tasks" in boss.texts(".alert-warning")[-1]


class Idle:
    """A scheduler that nobody executes the tasks of."""

    def __init__(self, scheduler):
        self.queues, self.lines = scheduler.queues, scheduler.lines
        self.instances = list


def test_tasks_that_wait_though_slots_are_free_are_told(portal):
    [text] = warnings([row(61), row(2)], NOW)
    assert translate(text).startswith("Tasks wait in the queue mail though slots")


def test_a_queue_that_no_process_has_slots_for_is_told(portal):
    [text] = warnings([row(61, slots=0, running=0)], NOW)
    assert translate(text).startswith("No process has slots for the queue mail")
    assert not [*warnings([row(slots=0, paused=True), row(slots=0, waiting=0)], NOW)]


@pytest.fixture
def relayed(portal, monkeypatch):
    """Tasks of the queue "mail" go to workers of Celery."""
    relay = InstanceStatus(id="a", slots={}, running=0, relays=("mail",))
    scheduler = SimpleNamespace(instances=lambda: [relay])
    monkeypatch.setattr(queues, "get_scheduler", lambda: scheduler)


def test_a_queue_without_a_worker_of_celery_is_told(relayed):
    [text] = warnings([row(61, slots=0, running=0)], NOW)
    assert translate(text).startswith("No worker of Celery has the queue mail")


def test_a_broker_that_is_away_is_told_once(relayed):
    [text] = warnings([row(61, cut_off=True), row(name="imports", cut_off=True)], NOW)
    assert translate(text).startswith("The broker of Celery cannot be reached: tasks ")
    assert "mail, imports." in translate(text)
