"""What a task was scheduled with stays as long as it may run again, and no longer."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database import formats
from helpers import finished
from helpers import TIMEOUT
from io import BytesIO
from types import SimpleNamespace
from zope.globalrequest import getRequest
from ZPublisher.HTTPRequest import FileUpload

import operator
import pytest
import transaction


SIZE = formats.MAX_INLINE + 1
told = []
sizes = []


def fail_at_first(upload):
    sizes.append(len(upload.read()) + len(getRequest().form["upload"].read()))
    if len(sizes) == 1:
        raise ValueError("The first time.")


def tell(record):
    told.append((record.title, sorted(getRequest().form)))


@pytest.fixture
def body_of(scheduler):
    """Return a function that returns the Body of the task with an id."""

    def body_of(id):
        transaction.begin()
        return scheduler.shards.find(id).body

    return body_of


@pytest.fixture
def upload(scheduler):
    """A file, which is also in the form of the request."""
    file = BytesIO(bytes(SIZE))
    field = SimpleNamespace(file=file, headers={}, filename="a.bin", name="upload")
    form = getRequest().form
    form["upload"] = upload = FileUpload(field)
    yield upload
    form.clear()


class TestSuccess:
    def test_nothing_is_kept(self, body_of, upload):
        task_id = finished(schedule(len, [upload])).id
        assert body_of(task_id) is None

    def test_but_what_the_arguments_were(self, paused, body_of):
        task_id = schedule(operator.add, [1], [2])
        transaction.commit()
        before = get_scheduler().arguments(task_id)
        paused.resume("default")
        finished(task_id)
        assert body_of(task_id) is None
        assert get_scheduler().arguments(task_id) == before
        assert [text for _, text in before] == ["[1]", "[2]"]

    def test_of_a_batch(self, body_of):
        task_id = finished(schedule_batch(len, ["a"] * 5, size=2)).id
        assert body_of(task_id) is None
        assert dict(get_scheduler().arguments(task_id))["number of items"] == "5"

    def test_of_one_that_was_done_at_once(self, body_of):
        task_id = schedule_batch(len, ["a", "b"], inline_below=5)
        transaction.commit()
        assert body_of(task_id) is None
        assert dict(get_scheduler().arguments(task_id))["number of items"] == "2"

    def test_callbacks_are_called_all_the_same(self, scheduler, body_of, upload):
        told.clear()
        task_id = using(title="One", on_success=tell).schedule(len, [upload])
        finished(task_id)
        scheduler.wait_all(TIMEOUT)
        assert body_of(task_id) is None
        assert told == [("One", [])]


def test_another_try_has_it_all(scheduler, body_of, upload):
    sizes.clear()
    task_id = schedule(fail_at_first, upload)
    assert finished(task_id).state == "failed"
    scheduler.retry(task_id)
    assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
    assert sizes == [2 * SIZE] * 2
    assert body_of(task_id) is None


def test_the_answer_to_respond_async_has_a_smaller_limit(scheduler, make_scheduler):
    assert scheduler.max_body < make_scheduler().max_body
