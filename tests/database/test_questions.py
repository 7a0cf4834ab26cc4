"""What a task does in another instance is told when somebody asks for it, once."""

from another import until
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database import questions
from collective.background.executing import stacks
from collective.background.executing.stacks import stack_now
from gated_tasks import gated
from threading import current_thread

import pytest
import transaction


@pytest.fixture
def elsewhere(monkeypatch):
    """Only the thread that looks knows those of tasks, as that of another process."""

    def stack_there(queue, id):
        is_there = current_thread().name == "background-watch"
        return stack_now(queue, id) if is_there else None

    monkeypatch.setattr(questions, "stack_now", stack_there)


@pytest.fixture
def running(scheduler, gates, elsewhere):
    """The id of a task that runs until the end of the test."""
    task_id = schedule(gated)
    transaction.commit()
    gates.wait()
    until(lambda: get_scheduler().record(task_id).state == "running")
    yield task_id
    gates.opened.set()
    transaction.begin()
    get_scheduler().wait(task_id, 60)
    transaction.abort()


def asked():
    transaction.begin()
    return [id for id in get_scheduler().questions if id]


def test_nobody_is_told_without_having_asked(running):
    assert get_scheduler().stack(running) is None


def test_the_answer_is_there_at_the_next_look(running):
    get_scheduler().ask_for_stack(running)
    until(lambda: get_scheduler().stack(running))
    stack = get_scheduler().stack(running)
    assert "in gated" in stack.text
    assert not stack.is_current
    assert asked() == []


def test_it_is_given_once(running):
    get_scheduler().ask_for_stack(running)
    until(lambda: get_scheduler().stack(running))
    first = get_scheduler().stack(running)
    get_scheduler().pause("default")  # a look follows
    until(lambda: get_scheduler().queues()[0].paused)
    assert get_scheduler().stack(running) == first
    get_scheduler().resume("default")
    get_scheduler().ask_for_stack(running)
    until(lambda: get_scheduler().stack(running).taken > first.taken)


def test_nothing_of_it_is_kept_when_the_task_has_ended(running, gates):
    get_scheduler().ask_for_stack(running)
    until(lambda: get_scheduler().stack(running))
    gates.opened.set()
    get_scheduler().wait(running, 60)
    transaction.begin()
    assert get_scheduler().stack(running) is None
    report = get_scheduler().shards.find(running).report
    assert report is None or report.stack is None


def test_what_runs_nowhere_is_not_asked_for_ever(paused):
    task_id = schedule(len, "x")
    transaction.commit()
    paused.ask_for_stack(task_id)
    until(lambda: asked() == [])
    assert get_scheduler().stack(task_id) is None


def test_a_long_one_is_cut_where_it_began(monkeypatch):
    monkeypatch.setattr(stacks, "LENGTH", 200)
    current_thread_name = stacks.thread_name("default", "x")
    monkeypatch.setattr(current_thread(), "_name", current_thread_name)
    stack = stack_now("default", "x")
    assert len(stack.text) == 200
    assert "format_stack" in stack.text


def test_it_begins_where_the_task_is_run(monkeypatch):
    """A process of Celery has commands and a pool around it."""
    thread_name = stacks.thread_name("default", "x")
    monkeypatch.setattr(current_thread(), "_name", thread_name)
    assert "test_questions.py" in stack_now("default", "x").text
    monkeypatch.setattr(stacks, "RUNNING", __file__)
    text = stack_now("default", "x").text
    assert text.startswith(f'  File "{__file__}"')
    assert "in stack_now" in text
