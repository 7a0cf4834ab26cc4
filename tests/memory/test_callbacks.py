"""``on_success`` and ``on_failure``: what is called when a task has ended."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import task
from collective.background import using
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from collective.background.interfaces import ITaskCancelled
from collective.background.interfaces import ITaskFailed
from collective.background.interfaces import ITaskScheduled
from collective.background.interfaces import ITaskSucceeded
from collective.background.model.records import TaskRecord
from helpers import finished
from helpers import kept_files
from helpers import TellingCondition
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from threading import Event
from threading import Lock
from threading import Thread
from zope.globalrequest import getRequest
from ZPublisher.HTTPRequest import FileUpload
from ZPublisher.HTTPRequest import FormField

import io
import pytest
import transaction


@pytest.fixture
def calls():
    """The records that the callback of a test was called with."""
    return []


@pytest.fixture
def callback(calls):
    def callback(record):
        calls.append(record)

    return callback


def fail():
    raise ValueError("no")


def without_options(record):
    """A callback with a name."""


@task(title="My own title")
def module_level(record):
    """A callback with a name."""


@task(queue="mail")
def by_mail(record):
    """A callback in a queue of its own."""


def all_ended(scheduler):
    """Commit, and wait until every task has ended."""
    transaction.commit()
    scheduler.wait_all(TIMEOUT)
    transaction.begin()


class TestOnSuccess:
    def test_is_called_with_the_record(self, scheduler, callback, calls):
        task_id = using(on_success=callback, title="Import").schedule(len, "four")
        all_ended(scheduler)
        (record,) = calls
        assert isinstance(record, TaskRecord)
        assert record.id == task_id
        assert record.title == "Import"
        assert record.state == "succeeded"
        assert record.finished is not None
        assert record.has_result

    def test_may_read_the_result(self, scheduler):
        results = []

        def callback(record):
            results.append(get_scheduler().get_result(record.id))

        using(on_success=callback).schedule(len, "four")
        all_ended(scheduler)
        assert results == [(4, None)]

    def test_sees_what_the_task_has_committed(self, folder):
        seen = []

        def rename(folder):
            folder.title = "By the task"

        def callback(record):
            seen.append(api.content.get(record.context_path).title)

        using(on_success=callback).schedule(rename, folder)
        all_ended(get_scheduler())
        assert seen == ["By the task"]

    def test_not_when_the_task_fails(self, scheduler, callback, calls):
        using(on_success=callback).schedule(fail)
        all_ended(scheduler)
        assert calls == []

    @pytest.mark.parametrize("size", [1, 10])
    def test_of_a_batch(self, scheduler, callback, calls, size):
        """In a thread as well as in the caller's transaction."""
        options = using(on_success=callback)
        task_id = options.schedule_batch(abs, range(5), inline_below=size)
        assert calls == []
        all_ended(scheduler)
        assert [record.id for record in calls] == [task_id]
        assert calls[0].progress.done == 5

    def test_of_a_batch_that_is_aborted(self, scheduler, callback, calls):
        using(on_success=callback).schedule_batch(abs, [1], inline_below=10)
        transaction.abort()
        scheduler.wait_all(TIMEOUT)
        assert calls == []


class TestOnFailure:
    def test_is_called_with_the_record(self, scheduler, callback, calls):
        task_id = using(on_failure=callback).schedule(fail)
        all_ended(scheduler)
        (record,) = calls
        assert record.id == task_id
        assert record.state == "failed"
        assert record.error.message == "no"

    def test_only_after_the_last_attempt(self, scheduler, callback, calls):
        using(on_failure=callback, retries=2, backoff=0).schedule(fail)
        all_ended(scheduler)
        assert [record.attempts for record in calls] == [3]

    def test_again_when_it_fails_again(self, scheduler, callback, calls):
        task_id = using(on_failure=callback).schedule(fail)
        all_ended(scheduler)
        scheduler.retry(task_id)
        scheduler.wait_all(TIMEOUT)
        assert [record.attempts for record in calls] == [1, 2]

    def test_whatever_a_subscriber_raises(self, scheduler, callback, calls, subscribe):
        """Also of those that were to start after it, and of their group."""

        def leave(event):
            raise SystemExit

        subscribe(ITaskFailed, leave)
        subscribe(ITaskCancelled, leave)
        failing = using(on_failure=callback).schedule(fail)
        with group(on_failure=callback) as whole:
            first = using(after=failing).schedule(int)
            second = using(after=first, on_failure=callback).schedule(int)
        all_ended(scheduler)
        assert {record.id for record in calls} == {failing, second, whole.id}

    def test_not_when_the_task_succeeds(self, scheduler, callback, calls):
        using(on_failure=callback).schedule(int)
        all_ended(scheduler)
        assert calls == []

    def test_when_there_is_no_thread_for_the_task(
        self, scheduler, callback, calls, refuse
    ):
        refuse["background-default-"] = 1
        using(on_failure=callback).schedule(int)
        all_ended(scheduler)
        assert "no thread could be started" in calls[0].error.message


class TestNeither:
    @pytest.fixture
    def both(self, callback):
        return using(on_success=callback, on_failure=callback)

    def test_when_it_is_cancelled_while_it_waits(self, scheduler, both, calls):
        with waiting():
            task_id = both.schedule(int)
            transaction.commit()
            scheduler.cancel(task_id)
        all_ended(scheduler)
        assert calls == []

    def test_when_it_is_cancelled_while_it_runs(self, scheduler, both, calls, gate):
        def work():
            gate.task()
            current_task().check_cancelled()

        task_id = both.schedule(work)
        transaction.commit()
        gate.wait()
        scheduler.cancel(task_id)
        gate.open()
        all_ended(scheduler)
        assert scheduler.record(task_id).state == "cancelled"
        assert calls == []

    def test_when_it_is_lost(self, scheduler, both, calls):
        with waiting():
            task_id = both.schedule(int)
            transaction.commit()
            scheduler.drain(TIMEOUT)
        assert scheduler.record(task_id).state == "lost"
        assert scheduler.count() == 1
        assert calls == []

    def test_when_its_transaction_aborts(self, scheduler, both, calls):
        both.schedule(int)
        transaction.abort()
        scheduler.wait_all(TIMEOUT)
        assert calls == []


class TestItsOwnTask:
    def callback_of(self, task_id):
        """The record of the other task, which is that of the callback."""
        all_ended(get_scheduler())
        (record,) = [r for r in get_scheduler().records() if r.id != task_id]
        return record

    def test_has_a_record(self, scheduler):
        task_id = using(on_success=without_options, title="Import").schedule(int)
        record = self.callback_of(task_id)
        assert record.state == "succeeded"
        assert record.callable == "test_callbacks.without_options"
        assert record.title == "Import: test_callbacks.without_options"
        assert record.kind == "call"

    def test_has_the_queue_and_the_priority_of_the_task(self, make_scheduler):
        make_scheduler(queues={"imports": 1})
        options = using(on_success=module_level, queue="imports", priority=7)
        record = self.callback_of(options.schedule(int))
        assert (record.queue, record.priority) == ("imports", 7)

    def test_is_told_of(self, scheduler, subscribe):
        told = []
        subscribe(ITaskScheduled, lambda event: told.append(event.record.id))
        task_id = using(on_success=module_level).schedule(int)
        record = self.callback_of(task_id)
        assert told == [task_id, record.id]

    def test_runs_as_the_same_user_on_the_same_site(self, folder):
        seen = []

        def callback(record):
            seen.append((api.user.get_current().getId(), api.portal.get().getId()))

        using(on_success=callback, user="admin").schedule(int)
        all_ended(get_scheduler())
        assert seen == [("admin", api.portal.get().getId())]

    def test_may_change_content(self, folder):
        def callback(record):
            api.portal.get()["folder"].title = f"{record.title} is done"

        using(on_success=callback, title="Import").schedule(int)
        all_ended(get_scheduler())
        assert folder.title == "Import is done"

    def test_that_fails_is_a_record_and_nothing_else(self, scheduler, caplog):
        def callback(record):
            raise LookupError("nobody to tell")

        task_id = using(on_success=callback, on_failure=callback).schedule(int)
        record = self.callback_of(task_id)
        assert record.state == "failed"
        assert record.error.message == "nobody to tell"
        assert scheduler.record(task_id).state == "succeeded"
        assert scheduler.count() == 2

    def test_that_failed_can_be_tried_again(self, scheduler, calls):
        def callback(record):
            calls.append(record)
            if len(calls) == 1:
                raise LookupError("nobody to tell")

        task_id = using(on_success=callback).schedule(int)
        record = self.callback_of(task_id)
        scheduler.retry(record.id)
        assert scheduler.wait(record.id, TIMEOUT).state == "succeeded"
        assert [record.id for record in calls] == [task_id] * 2

    def test_does_not_need_room(self, make_scheduler, gate, callback, calls):
        """It was admitted together with its task."""
        scheduler = make_scheduler(concurrency=1, max_waiting=1)
        using(on_success=callback).schedule(gate.task)
        transaction.commit()
        gate.wait()
        schedule(int)
        transaction.commit()
        gate.open()
        scheduler.wait_all(TIMEOUT)
        assert len(calls) == 1

    def test_is_lost_when_the_process_ends(self, make_scheduler, gate, caplog):
        scheduler = make_scheduler(concurrency=1)
        task_id = using(on_success=without_options, title="Import").schedule(gate.task)
        transaction.commit()
        gate.wait()
        scheduler.pause("default")
        gate.open()
        scheduler.wait(task_id, TIMEOUT)
        scheduler.drain(TIMEOUT)
        (line,) = [line for line in caplog.messages if "lost" in line]
        assert "'Import: test_callbacks.without_options'" in line


def test_who_waits_for_all_waits_for_callbacks_too(make_scheduler, subscribe):
    """Which are not there before the end of their task was told."""
    scheduler = make_scheduler(queues={"mail": 1})
    scheduler.pause("mail")
    changed = scheduler.lifecycle.changed = TellingCondition()
    is_told, go_on = Event(), Event()

    def be_slow(event):
        is_told.set()
        assert go_on.wait(TIMEOUT)

    def wait():
        scheduler.wait_all(TIMEOUT)
        found.append(scheduler.count(states="succeeded"))

    subscribe(ITaskSucceeded, be_slow)
    using(on_success=by_mail).schedule(int)
    transaction.commit()
    assert is_told.wait(TIMEOUT)
    found = []
    waiter = Thread(target=wait)
    waiter.start()
    changed.is_waited_for()
    go_on.set()
    scheduler.resume("mail")
    waiter.join(TIMEOUT)
    assert found == [2]


def test_the_uploads_of_the_task_are_gone_when_it_is_called(site):
    """They were closed with the task, and do no harm."""
    finished(schedule(int))
    before = kept_files()
    upload = FileUpload(
        FormField(
            name="file",
            file=io.BytesIO(b"x" * 2_000_000),
            filename="countries.csv",
            headers={},
        )
    )
    request = getRequest()
    request.form["file"] = upload
    seen = []

    def size():
        seen.append(len(getRequest().form["file"].read()))

    def callback(record):
        seen.append(dict(getRequest().form))

    try:
        using(on_success=callback).schedule(size)
        all_ended(get_scheduler())
    finally:
        del request.form["file"]
    assert seen == [2_000_000, {}]
    assert {record.state for record in get_scheduler().records()} == {"succeeded"}
    upload.close()
    assert kept_files() <= before


class TestWhatIsRefused:
    """At once, and with the name of the option."""

    @pytest.mark.parametrize("option", ["on_success", "on_failure"])
    @pytest.mark.parametrize("how", ["schedule", "schedule_batch"])
    def test_what_cannot_be_called_with_a_record(self, scheduler, option, how):
        arguments = {"schedule": (int,), "schedule_batch": (abs, [1])}[how]
        with pytest.raises(BadCall, match=rf"^{option} is called with one argument.*"):
            getattr(using(**{option: fail}), how)(*arguments)
        assert scheduler.count() == 0

    def test_what_cannot_be_carried(self, scheduler):
        class Callback:
            def __init__(self):
                self.lock = Lock()

            def __call__(self, record):
                """Never."""

        with pytest.raises(NotPortable, match=r"^on_failure, the callable .*lock"):
            using(on_failure=Callback()).schedule(int)
        assert scheduler.count() == 0


@task(title="Afterwards", queue="mail", priority=3, retries=1, backoff=0.01)
def fails_once(record):
    """A callback with options of its own."""
    if get_scheduler().record(current_task().id).attempts == 1:
        raise ValueError("not yet")


class TestOptionsOfCallbacks:
    """Whoever is called: the options of an ``@task`` function hold."""

    @pytest.fixture
    def ended(self, scheduler):
        """Return a function that returns the record of the callback of a task."""

        def ended(task_id):
            all_ended(scheduler)
            (record,) = [r for r in scheduler.records() if r.id != task_id]
            return record

        return ended

    def test_hold(self, ended):
        record = ended(using(on_success=fails_once).schedule(int))
        assert record.state == "succeeded"
        assert (record.title, record.queue) == ("Afterwards", "mail")
        assert (record.priority, record.attempts) == (3, 2)

    def test_others_can_be_given_for_once(self, ended):
        callback = fails_once.using(title="For once", retries=0)
        record = ended(using(on_failure=callback).schedule(fail))
        assert (record.title, record.state) == ("For once", "failed")

    def test_what_they_do_not_say_is_that_of_the_task(self, ended):
        using_mail = using(queue="mail", priority=7, on_success=module_level)
        record = ended(using_mail.schedule(int))
        assert (record.queue, record.priority) == ("mail", 7)

    @pytest.mark.parametrize(
        "option,value",
        [("unique", "one"), ("user", "admin"), ("notify", "mail"), ("after", "an id")],
    )
    def test_what_a_callback_cannot_have_is_refused(self, site, option, value):
        callback = module_level.using(**{option: value})
        with pytest.raises(
            BadOption, match=f"option '{option}' a callback cannot have"
        ):
            using(on_success=callback).schedule(int)

    @pytest.mark.parametrize("option", ["title", "lock"])
    def test_a_title_has_to_be_a_text(self, site, option):
        callback = module_level.using(**{option: lambda record: record.title})
        with pytest.raises(BadOption, match="that of a callback must be a text"):
            using(on_success=callback).schedule(int)

    def test_a_queue_has_to_be_there(self, site):
        callback = module_level.using(queue="imports")
        with pytest.raises(BadOption, match="there is no queue 'imports'"):
            using(on_success=callback).schedule(int)

    def test_a_queue_of_a_group_as_well(self, site):
        callback = module_level.using(queue="imports")
        with (
            pytest.raises(BadOption, match="there is no queue 'imports'"),
            group(on_success=callback),
        ):
            schedule(int)
