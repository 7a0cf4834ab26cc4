"""What a worker of Celery does with messages, in this process and without a broker.

The messages are such as another instance sends, and what they stand for is in a real
database; each is handled in a thread of its own, as with the pool of threads.
"""

from another import until
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.celery.messages import Message
from collective.background.celery.worker import ended_at_once
from collective.background.celery.worker import run
from collective.background.database import taking
from collective.background.interfaces import ITaskStarted
from collective.background.model.states import FINISHED
from contextlib import contextmanager
from gated_tasks import create
from gated_tasks import fail
from gated_tasks import gated
from gated_tasks import gated_until_cancelled
from gated_tasks import leave_cookie
from gated_tasks import report
from gated_tasks import show
from helpers import TIMEOUT
from threading import enumerate as all_threads
from threading import Thread
from types import SimpleNamespace

import collective.background.celery.worker
import pytest
import signal
import transaction


@pytest.fixture(autouse=True)
def role(site, settings):
    """This process runs only what it is sent. To be used before ``scheduler``."""
    settings(role="celery")


@pytest.fixture
def message(scheduler, another):
    """Return a function that has a task sent by another instance; returns the payload.

    ``changes``: of what the message says.
    """

    def message(task_id, **changes):
        stored = another.reserves(task_id, is_sent=True)
        transaction.commit()
        values = {
            "deployment": None,
            "database": scheduler._p_jar.db().database_name,
            "scheduler": scheduler._p_oid.hex(),
            "site": "/plone",
            "task": task_id,
            "oid": stored._p_oid.hex(),
            "fence": stored.fence,
        }
        return Message(**values | changes).payload()

    return message


@contextmanager
def handled(*payloads):
    """Handle messages at the same time, until the end of a ``with`` block."""
    threads = [Thread(target=run, args=(payload,)) for payload in payloads]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def handle(*payloads):
    with handled(*payloads):
        pass


def record_of(task_id):
    """Return the TaskRecord of a task at its end, which nobody may have settled."""
    until(lambda: get_scheduler().record(task_id).state in FINISHED)
    return get_scheduler().record(task_id)


class TestTheTask:
    def test_runs_and_is_settled(self, folder, message):
        task_id = schedule(create, folder, "new")
        handle(message(task_id))
        record = record_of(task_id)
        assert (record.state, record.attempts) == ("succeeded", 1)
        assert "new" in folder

    def test_that_tells_something_settles_its_end_itself(
        self, folder, message, scheduler, gates
    ):
        """Who has sent it does not know that."""
        gates.opened.set()
        ids = [schedule(report, folder), schedule(show, "Done")]
        handle(*map(message, ids))
        for task_id in ids:
            until(lambda id=task_id: scheduler.shards.find(id).state == "succeeded")
            assert scheduler.shards.find(task_id).status.settles
        first, second = map(scheduler.record, ids)
        assert (first.progress.message, len(first.log)) == ("almost a third", 1)
        assert [message.text for message in second.messages] == ["Done"]

    def test_that_may_have_told_something_settles_its_end_as_well(
        self, message, scheduler
    ):
        """Status messages are in a cookie; other cookies are nothing to be told."""
        task_id = schedule(leave_cookie)
        handle(message(task_id))
        until(lambda: scheduler.shards.find(task_id).state == "succeeded")
        assert scheduler.record(task_id).messages == ()

    def test_may_run_again(self, folder, message):
        task_id = using(rerun=True).schedule(create, folder, "new")
        handle(message(task_id))
        record = record_of(task_id)
        assert (record.state, record.attempts) == ("succeeded", 1)
        assert "new" in folder

    def test_that_fails(self, folder, message):
        task_id = schedule(fail, folder)
        handle(message(task_id))
        record = record_of(task_id)
        assert (record.state, record.attempts) == ("failed", 1)
        assert record.error.message == "it went wrong"
        assert folder.title == "A folder"

    def test_that_is_tried_again_waits_for_its_next_message(self, message, scheduler):
        task_id = using(retries=1, backoff=3600).schedule(fail)
        payload = message(task_id)
        handle(payload)
        until(lambda: scheduler.record(task_id).state == "retrying")
        handle(payload)
        transaction.begin()
        assert scheduler.record(task_id).attempts == 1

    def test_of_a_batch(self, message):
        task_id = using(rerun=True).schedule_batch(len, ["a", "bc"], size=1)
        handle(message(task_id))
        assert record_of(task_id).progress.done == 2

    def test_several_at_once(self, folder, message):
        ids = [schedule(create, folder, id) for id in ("a", "b")]
        handle(*map(message, ids))
        assert {record_of(task_id).state for task_id in ids} == {"succeeded"}

    def test_is_told_to_stop(self, gates, message, scheduler):
        task_id = schedule(gated_until_cancelled)
        with handled(message(task_id)):
            gates.wait()
            transaction.begin()
            assert scheduler.record(task_id).state == "running"
            scheduler.cancel(task_id)
            transaction.commit()
        assert record_of(task_id).state == "cancelled"

    def test_its_thread_has_its_name(self, gates, message):
        task_id = schedule(gated)
        with handled(message(task_id)):
            gates.wait()
            assert f"background-default-{task_id}" in [
                thread.name for thread in all_threads()
            ]
            gates.opened.set()


class TestWhatIsNotRun:
    @pytest.fixture(autouse=True)
    def nothing_begins(self, subscribe, monkeypatch):
        monkeypatch.setattr(taking, "EARLY", 0.1)
        begun = []
        subscribe(ITaskStarted, begun.append)
        yield
        assert begun == []

    @pytest.mark.parametrize(
        "payload", [None, {}, [], "text", 1, {"task": "a"}, {"extra": 1, "task": "b"}]
    )
    def test_what_is_no_message(self, scheduler, payload, caplog):
        handle(payload)
        assert "a message of the broker is ignored" in caplog.text

    def test_what_has_other_arguments(self, scheduler, caplog):
        run("a", "b", c=1)
        assert "a message of the broker is ignored" in caplog.text

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"deployment": "staging"}, "it is of the deployment 'staging'"),
            ({"scheduler": "7f" * 8}, "there is no site that has such tasks"),
            ({"database": "elsewhere"}, "there is no site that has such tasks"),
            ({"task": "0" * 32}, "there is no such task"),
            ({"oid": "00" * 8}, "there is no such task"),
            ({"oid": "7f" * 8}, "there is no such task"),
            ({"fence": 0}, "given to somebody else since"),
            ({"fence": 7}, "given to somebody else since"),
        ],
    )
    def test_what_is_forged_or_foreign(self, message, changes, reason, caplog):
        caplog.set_level("INFO")
        task_id = schedule(gated)
        payload = message(task_id, **changes)
        handle(payload)
        assert reason in caplog.text
        transaction.begin()
        assert get_scheduler().record(task_id).state == "queued"

    def test_what_was_cancelled_while_it_waited(self, message, scheduler, caplog):
        caplog.set_level("INFO")
        task_id = schedule(gated)
        payload = message(task_id)
        scheduler.cancel(task_id)
        transaction.commit()
        handle(payload)
        assert "it was cancelled meanwhile" in caplog.text

    def test_what_is_deleted(self, message, scheduler, caplog):
        caplog.set_level("INFO")
        task_id = schedule(gated)
        payload = message(task_id)
        scheduler.remove(task_id)
        transaction.commit()
        handle(payload)
        assert "is not run at this message" in caplog.text

    def test_anything_by_a_process_that_does_not_serve(self, idle_site, caplog):
        caplog.set_level("INFO")
        payload = {
            **{"deployment": None, "database": "main", "scheduler": "00" * 8},
            **{"site": "/plone", "task": "a", "oid": "00" * 8, "fence": 1},
        }
        handle(payload)
        assert "this process does not serve" in caplog.text


class TestTheSignalToEnd:
    @pytest.fixture
    def usual(self):
        before = signal.signal(signal.SIGTERM, lambda *args: None)
        yield signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)

    def test_ends_a_child_at_once(self, usual, monkeypatch):
        child = SimpleNamespace(name="ForkPoolWorker-1")
        monkeypatch.setattr(
            collective.background.celery.worker, "current_process", lambda: child
        )
        with ended_at_once():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is usual

    def test_is_that_of_celery_elsewhere(self, usual):
        with ended_at_once():
            assert signal.getsignal(signal.SIGTERM) is usual
