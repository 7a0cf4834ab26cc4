"""``on_success`` and ``on_failure``: somebody is told of the end of a task."""

from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from collective.background.records import TaskRecord
from collective.background.testing import drain
from helpers import finished
from helpers import TIMEOUT
from plone import api
from plone.app.testing import TEST_USER_ID

import pytest
import threading
import transaction


told = []


@pytest.fixture(autouse=True)
def nobody_was_told():
    told.clear()


def tell(record):
    """A callback; what it sees of its surroundings is kept."""
    told.append((record, api.user.get_current().getId(), api.portal.get().getId()))


def fail(*args):
    raise ValueError("it did not work")


@pytest.fixture
def scheduler(functional, make_scheduler):
    return make_scheduler(concurrency=1)


def ended(task_id):
    """Commit, wait for the task and for what follows it; return its record."""
    record = finished(task_id)
    drain()
    return record


class TestWhoIsTold:
    def test_of_success(self, scheduler):
        task_id = using(on_success=tell, on_failure=fail).schedule(len, "abc")
        ended(task_id)
        ((record, user_id, site_id),) = told
        assert isinstance(record, TaskRecord)
        assert (record.id, record.state) == (task_id, "succeeded")
        assert (user_id, site_id) == (TEST_USER_ID, "plone")

    def test_of_failure_after_the_last_attempt(self, scheduler):
        task_id = using(
            on_success=fail, on_failure=tell, retries=2, backoff=0
        ).schedule(fail)
        ended(task_id)
        ((record, *_),) = told
        assert (record.state, record.attempts) == ("failed", 3)
        assert record.error.message == "it did not work"

    def test_nobody_of_one_that_was_cancelled(self, scheduler):
        task_id = using(on_success=tell, on_failure=tell, delay=TIMEOUT).schedule(fail)
        transaction.commit()
        scheduler.cancel(task_id)
        drain()
        assert told == []

    def test_nobody_of_one_that_was_never_committed(self, scheduler):
        using(on_success=tell, on_failure=tell).schedule(len, "abc")
        transaction.abort()
        drain()
        assert told == []

    def test_again_after_a_retry(self, scheduler):
        task_id = using(on_failure=tell).schedule(fail)
        ended(task_id)
        scheduler.retry(task_id)
        ended(task_id)
        assert len(told) == 2

    @pytest.mark.parametrize("inline_below", [0, 5])
    def test_of_a_batch_also_if_it_is_done_at_once(self, scheduler, inline_below):
        task_id = using(on_success=tell).schedule_batch(
            len, ["a", "b"], inline_below=inline_below
        )
        assert told == []
        ended(task_id)
        ((record, *_),) = told
        assert (record.id, record.kind) == (task_id, "batch")


class TestTheTaskOfACallback:
    def test_has_a_record_of_its_own(self, scheduler):
        task_id = using(title="Count", on_success=tell).schedule(len, "abc")
        ended(task_id)
        callback, task = scheduler.records()
        assert task.id == task_id
        assert callback.title == f"Count: {__name__}.tell"
        assert (callback.state, callback.queue) == ("succeeded", task.queue)
        assert (callback.user_id, callback.user_path, callback.site_path) == (
            task.user_id,
            task.user_path,
            task.site_path,
        )

    def test_sees_what_the_task_has_committed(self, scheduler, folder):
        seen = []

        def look(record):
            seen.append("document" in api.content.get("/folder"))

        def create(folder):
            api.content.create(folder, "Document", "document")

        ended(using(on_success=look).schedule(create, folder))
        assert seen == [True]

    def test_may_fail_without_harm(self, scheduler):
        task_id = using(on_success=fail).schedule(len, "abc")
        ended(task_id)
        assert scheduler.record(task_id).state == "succeeded"
        (callback,) = scheduler.records(states={"failed"})
        assert callback.error.message == "it did not work"

    def test_has_room_in_a_full_waiting_room(self, functional, make_scheduler):
        scheduler = make_scheduler(concurrency=1, max_waiting=1)
        begun, go_on = threading.Event(), threading.Event()

        def work():
            begun.set()
            go_on.wait(TIMEOUT)

        task_id = using(on_success=tell).schedule(work)
        transaction.commit()
        begun.wait(TIMEOUT)
        schedule(len, "of somebody else")
        transaction.commit()
        go_on.set()
        scheduler.wait(task_id, TIMEOUT)
        drain()
        assert [record.id for record, *_ in told] == [task_id]


class TestWhatIsRefused:
    def test_what_cannot_be_called(self, functional):
        with pytest.raises(BadOption, match="on_success is 'tell'"):
            using(on_success="tell")

    def test_what_does_not_take_a_record(self, functional):
        with pytest.raises(BadCall):
            using(on_success=lambda: None).schedule(len, "abc")

    def test_what_cannot_be_carried(self, functional):
        lock = threading.Lock()
        numbers = (number for number in (1, 2))

        def tell_somebody(record):
            return lock, list(numbers)

        with pytest.raises(NotPortable, match="tell_somebody"):
            using(on_failure=tell_somebody).schedule(len, "abc")
        with pytest.raises(NotPortable, match="tell_somebody"):
            schedule_batch(tell_somebody, [1])
