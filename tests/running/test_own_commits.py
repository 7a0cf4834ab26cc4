"""Code that commits by itself, in the midst of a task."""

from collective.background import schedule
from collective.background import schedule_batch
from helpers import failure_of
from helpers import finished
from helpers import TIMEOUT
from threading import Event
from transaction.interfaces import TransientError

import pytest
import transaction


begun, opened = Event(), Event()


def rename(content, title):
    content.title = title
    transaction.commit()


def rename_backwards(title, content):
    rename(content, title)


def rename_twice(content):
    rename(content, "first")
    content.title += " and second"


def rename_and_fail(content):
    rename(content, "first")
    content.title = "never seen"
    raise ValueError("after the commit")


def count_and_conflict(content):
    content.count = getattr(content, "count", 0) + 1
    transaction.commit()
    if content.count < 3:
        raise TransientError("after the commit")


def begin():
    begun.set()


def schedule_and_wait(content):
    schedule(begin)
    transaction.commit()
    assert opened.wait(TIMEOUT)


@pytest.mark.usefixtures("tier")
class TestCommits:
    def test_all_is_there_at_the_end(self, folder):
        assert finished(schedule(rename_twice, folder)).state == "succeeded"
        assert folder.title == "first and second"

    def test_what_was_committed_stays_when_the_task_fails(self, folder):
        failure_of(schedule(rename_and_fail, folder))
        assert folder.title == "first"

    def test_a_repeated_attempt_finds_it(self, folder):
        record = finished(schedule(count_and_conflict, folder))
        assert (record.state, record.attempts) == ("succeeded", 3)
        assert folder.count == 3

    def test_in_an_item_of_a_batch(self, folder):
        titles = ["one", "two"]
        task_id = schedule_batch(rename_backwards, titles, folder)
        assert finished(task_id).state == "succeeded"
        assert folder.title == "two"


def test_what_it_has_scheduled_starts_with_its_commit(tier, folder):
    begun.clear()
    opened.clear()
    task_id = schedule(schedule_and_wait, folder)
    transaction.commit()
    try:
        assert begun.wait(TIMEOUT)
    finally:
        opened.set()
    assert finished(task_id).state == "succeeded"
