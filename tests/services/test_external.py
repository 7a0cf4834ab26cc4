"""``schedule_external()``: tasks of workers that are no Plone, and their reports."""

from collective.background import get_scheduler
from collective.background import schedule_external
from collective.background import using
from collective.background.capture.secrets import HIDDEN
from collective.background.client import BackgroundTask
from collective.background.client import Stopped
from collective.background.controlpanel.queues import queue_rows
from collective.background.database import external
from collective.background.database.installing import install
from collective.background.exceptions import BadOption
from collective.background.model.external import LIFETIME
from collective.background.showing.waiting import Reasons
from collective.background.testing import serving
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from functools import partial
from helpers import TIMEOUT
from inboxes import Inbox
from plone import api

import json
import pytest
import transaction


noted = []


def note(record):
    noted.append((record.id, record.state))


@pytest.fixture
def inbox(settings):
    """What another application of Celery gets by a broker in memory."""
    settings(celery_broker="memory://", celery_queues=frozenset())
    return Inbox("ingest")


@pytest.fixture
def scheduler(site, inbox):
    """That of the database, in a process that executes its tasks."""
    install(site)
    transaction.commit()
    with serving():
        yield get_scheduler()
        transaction.abort()


@pytest.fixture
def send(scheduler, users, inbox):
    """Return a function that schedules a task of editor1 and returns its Ticket."""

    def send(payload=None, **options):
        with api.env.adopt_user(username="editor1"):
            id = using(**{"title": "Read it", **options}).schedule_external(
                "ingest.read", payload, celery_queue="ingest"
            )
            transaction.commit()
        return inbox.get(id)

    return send


@pytest.fixture
def later(monkeypatch):
    """Return a function: no report has come for a while."""
    return lambda: monkeypatch.setattr(external, "PACE", 0)


@pytest.fixture
def state_of(scheduler):
    """Return a function: the record of a task, as it is now."""

    def state_of(id):
        transaction.begin()
        return scheduler.record(id)

    return state_of


@pytest.fixture
def patch(visitor):
    """Return a function: the answer to a report, whose number counts by itself."""

    def patch(ticket, token=None, **report):
        ticket.number += 1
        report = {"run": "one", "number": ticket.number, **report}
        return visitor.patch(
            f"@tasks/{ticket.id}",
            json=report,
            headers={"X-Background-Token": ticket.token if token is None else token},
        )

    return patch


class TestSending:
    def test_the_message_has_payload_and_address(self, send):
        ticket = send({"path": "/a"})
        assert ticket.task == "ingest.read"
        assert ticket.args == [{"path": "/a"}]
        assert ticket.url == f"http://nohost/plone/++api++/@tasks/{ticket.id}"
        assert ticket.headers["shadow"] == "Read it"

    def test_its_name_is_its_title_unless_it_has_one(self, scheduler):
        titles = [
            scheduler.record(schedule_external("a.b", "page 3", **more)).title
            for more in ({}, {"title": "Read"}, {"title": "Read {}".format})
        ]
        assert titles == ["a.b", "Read", "Read page 3"]

    def test_it_waits_until_the_worker_begins(self, send, state_of, until):
        ticket = send()
        until(lambda: "another program" in str(Reasons().of(state_of(ticket.id))))
        record = state_of(ticket.id)
        assert (record.state, record.kind) == ("queued", "external")
        assert (record.started, record.attempts) == (None, 0)

    def test_a_pause_of_its_queue_comes_too_late_then(
        self, send, state_of, scheduler, until
    ):
        ticket = send()
        until(lambda: "another program" in Reasons().of(state_of(ticket.id)))
        scheduler.pause("default")
        transaction.commit()
        assert "another program" in Reasons().of(state_of(ticket.id))

    def test_nothing_is_sent_when_the_transaction_aborts(self, scheduler, inbox):
        schedule_external("a.b", celery_queue="ingest")
        transaction.abort()
        id = schedule_external("a.b", celery_queue="ingest")
        transaction.commit()
        assert inbox.get(id).id == id

    def test_a_broker_that_is_away_only_delays_it(
        self, scheduler, settings, inbox, state_of, until
    ):
        settings(celery_broker="redis://:secret@127.0.0.1:1/0")
        id = schedule_external("a.b", celery_queue="ingest")
        transaction.commit()
        until(lambda: state_of(id).state == "retrying")
        error = state_of(id).error
        assert "the broker does not take the message" in error.message
        assert "secret" not in error.message + error.traceback
        assert state_of(id).started is None
        settings(celery_broker="memory://")
        assert inbox.get(id).id == id

    def test_too_late_unless_it_is_tried_again(self, scheduler, inbox, state_of, until):
        id = using(begin_by=0.000001).schedule_external("a.b", celery_queue="ingest")
        transaction.commit()
        until(lambda: state_of(id).state == "failed")
        assert state_of(id).error.type.endswith("TooLate")
        scheduler.retry(id)
        assert inbox.get(id).id == id

    def test_nobody_begins_it_later_than_it_may(self, send, scheduler):
        ticket = send(begin_by=3600)
        until = datetime.now(UTC) + timedelta(seconds=3601)
        assert datetime.fromisoformat(ticket.headers["expires"]) < until
        transaction.begin()
        assert scheduler.shards.find(ticket.id).external.begin_until < until

    def test_the_token_is_nowhere_else(self, send, boss, scheduler, patch, caplog):
        caplog.set_level("DEBUG")
        ticket = send({"a": 1})
        patch(ticket, state="running")
        stored = scheduler.shards.find(ticket.id)
        assert ticket.token not in str(stored.external.__getstate__())
        assert ticket.token not in boss.get(f"@tasks/{ticket.id}").text
        assert ticket.token not in caplog.text

    def test_managers_see_the_payload_without_secrets(self, send, boss):
        ticket = send({"path": "/a", "password": "x"})
        arguments = boss.get(f"@tasks/{ticket.id}").json()["arguments"]
        assert {"name": "payload.path", "value": "/a"} in arguments
        assert {"name": "payload.password", "value": HIDDEN} in arguments


class TestRefusals:
    def test_no_broker(self, scheduler, settings):
        settings(celery_broker=None)
        with pytest.raises(BadOption, match="celery_broker"):
            schedule_external("a.b")

    def test_a_queue_of_the_workers_of_plone(self, scheduler):
        """They would drop the message, and log its token."""
        with pytest.raises(BadOption, match="are for tasks of Plone"):
            schedule_external("a.b", celery_queue="background-default")

    def test_tasks_in_memory(self, site, inbox):
        with pytest.raises(BadOption, match="in the database"):
            schedule_external("a.b")


class TestReports:
    def test_from_the_first_to_the_last(self, send, patch, state_of, editor):
        ticket = send()
        answer = patch(ticket, state="running", worker="here")
        assert answer.json() == {"state": "running", "stop": False, "silence": 300.0}
        assert state_of(ticket.id).state == "running"
        answer = patch(ticket, state="succeeded", result={"words": 3})
        assert answer.json()["state"] == "succeeded"
        record = state_of(ticket.id)
        assert (record.state, record.attempts) == ("succeeded", 1)
        assert record.started < record.finished
        assert editor.get(f"@tasks/{ticket.id}/result").json() == {"words": 3}

    def test_what_they_tell(self, send, patch, state_of, later):
        ticket = send()
        patch(ticket, progress={"done": 1, "total": 4}, log=["INFO one"], title="Reads")
        later()
        patch(ticket, progress={"done": 2, "message": "Page 2"}, log=["INFO two"])
        later()
        patch(ticket, messages=[{"text": "It is long", "type": "warning"}])
        record = state_of(ticket.id)
        progress = record.progress
        assert (progress.done, progress.total, progress.message) == (2, 4, "Page 2")
        assert record.log == ("INFO one", "INFO two")
        assert [message.text for message in record.messages] == ["It is long"]
        assert (record.title, record.state) == ("Reads", "running")

    def test_one_that_comes_twice_counts_once(self, send, patch, state_of, later):
        ticket = send()
        for _ in range(2):
            ticket.number = 0
            patch(ticket, log=["INFO one"])
            later()
        assert state_of(ticket.id).log == ("INFO one",)
        ticket.number = 0
        patch(ticket, run="two", log=["INFO another run"])
        assert state_of(ticket.id).log == ("INFO one", "INFO another run")

    def test_the_last_one_may_come_twice(self, send, patch, state_of):
        ticket = send()
        for _ in range(2):
            ticket.number = 1
            answer = patch(ticket, state="succeeded", result=1)
            assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
        patch(ticket, state="failed", error={"message": "no"})
        assert state_of(ticket.id).state == "succeeded"

    def test_a_failure_has_a_text_for_its_user(
        self, send, patch, state_of, editor, boss
    ):
        ticket = send()
        error = {"type": "ingest.BadFile", "message": "at 0x17", "traceback": "Trace"}
        patch(ticket, state="failed", error={**error, "public": "No text in it"})
        error = state_of(ticket.id).error
        assert (error.type, error.message) == ("ingest.BadFile", "at 0x17")
        seen = editor.get(f"@tasks/{ticket.id}").text
        assert "No text in it" in seen
        assert "0x17" not in seen

    def test_a_failure_without_one_is_for_managers(self, send, patch, editor):
        ticket = send()
        patch(ticket, state="failed", error={"message": "at 0x17"})
        assert "0x17" not in editor.get(f"@tasks/{ticket.id}").text

    def test_callbacks_and_others_follow(self, send, patch, scheduler, state_of):
        ticket = send(on_success=note)
        after = using(after=ticket.id, queue="default").schedule(str, 1)
        transaction.commit()
        patch(ticket, state="succeeded", result="the text")
        scheduler.wait(after, TIMEOUT)
        scheduler.wait_all(TIMEOUT)
        assert noted == [(ticket.id, "succeeded")]

    def test_its_key_is_free_at_its_end(self, send, patch, scheduler):
        ticket = send(unique="a")
        again = partial(using(unique="a").schedule_external, "ingest.read")
        assert again() == ticket.id
        patch(ticket, state="succeeded")
        transaction.begin()
        assert again() != ticket.id


class TestClient:
    def test_tells_plone_what_it_does(self, send, server, state_of):
        ticket = send()
        url = ticket.url.replace("http://nohost", server)
        with BackgroundTask(url, ticket.token) as task:
            assert state_of(ticket.id).state == "running"
            task.progress(1, 2, "Page 1")
            task.log("read")
            task.result = ["one"]
        record = state_of(ticket.id)
        assert (record.state, record.log) == ("succeeded", ("read",))
        assert (record.progress.done, record.progress.total) == (1, 2)

    def test_stops_when_it_is_cancelled(self, send, server, editor):
        ticket = send()
        editor.delete(f"@tasks/{ticket.id}")
        url = ticket.url.replace("http://nohost", server)
        with pytest.raises(Stopped), BackgroundTask(url, ticket.token):
            raise AssertionError


class TestWhoMayReport:
    def test_a_wrong_token_finds_nothing(self, send, patch, state_of):
        ticket, other = send(), send()
        for token in ("wrong", "x" * 1_000, "ä".encode(), "", other.token):
            answer = patch(ticket, token=token, state="running")
            assert answer.status_code in (401, 404)
        assert state_of(ticket.id).state == "queued"

    def test_nor_one_for_a_task_that_is_none_of_those(self, send, patch, scheduler):
        ticket = send()
        ticket.id = using(delay=100).schedule(str, 1)
        transaction.commit()
        assert patch(ticket, state="running").status_code == 404

    def test_nor_one_that_has_expired(self, send, patch, set_clock):
        ticket = send()
        set_clock(timedelta(seconds=LIFETIME + 1))
        assert patch(ticket, state="running").status_code == 404

    def test_the_token_allows_nothing_else(self, send, visitor):
        ticket = send()
        headers = {"X-Background-Token": ticket.token}
        for method in ("GET", "DELETE"):
            answer = visitor.request(method, f"@tasks/{ticket.id}", headers=headers)
            assert answer.status_code == 401
        answer = visitor.patch(
            f"@tasks/{ticket.id}", json={"retry": True}, headers=headers
        )
        assert answer.status_code == 400

    def test_without_one_a_visitor_may_nothing(self, send, visitor):
        ticket = send()
        answer = visitor.patch(f"@tasks/{ticket.id}", json={"retry": True})
        assert answer.status_code == 401


class TestBadReports:
    def test_one_is_refused_with_a_reason(self, send, patch, state_of):
        ticket = send()
        answer = patch(ticket, state="queued")
        assert answer.status_code == 400
        assert "state must be one of" in answer.json()["message"]
        assert state_of(ticket.id).state == "queued"

    def test_nested_too_deeply(self, send, patch, state_of, visitor, caplog):
        ticket = send()
        for depth in (600, 100_000):
            ticket.number += 1
            result = f"{'[' * depth}{']' * depth}"
            report = {"run": "one", "number": ticket.number, "state": "succeeded"}
            body = f'{json.dumps(report)[:-1]}, "result": {result}}}'
            headers = {"X-Background-Token": ticket.token}
            answer = visitor.patch(f"@tasks/{ticket.id}", data=body, headers=headers)
            assert answer.status_code == 400
        assert state_of(ticket.id).state == "queued"
        assert "Traceback" not in caplog.text

    def test_too_large(self, send, patch):
        answer = patch(send(), state="succeeded", result="x" * 1_000_000)
        assert answer.status_code == 413

    def test_too_many(self, send, patch, monkeypatch):
        monkeypatch.setattr(external, "PACE", 3600.0)
        ticket = send()
        patch(ticket, state="running")
        answer = patch(ticket, progress={"done": 1})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert patch(ticket, state="succeeded").status_code == 200


class TestControlPanel:
    @pytest.fixture
    def manager(self, send, session_of):
        """Somebody who may see all of the tasks of an editor."""
        boss = session_of("boss")
        boss.headers["Accept"] = "text/html"
        return boss

    def test_has_a_page_of_it(self, send, patch, manager):
        ticket = send()
        patch(ticket, state="running")
        answer = manager.get(f"@@background-task/{ticket.id}")
        assert answer.status_code == 200
        assert "(task of another program)" in answer.text
        assert "Ask its instance" not in answer.text

    def test_does_not_say_that_it_is_in_a_slot(
        self, send, patch, manager, state_of, until
    ):
        ticket = send()
        # The slot in which it was sent has to be free again.
        until(lambda: "another program" in Reasons().of(state_of(ticket.id)))
        patch(ticket, state="running")
        text = manager.get("@@background-tasks-activity").text
        assert "No task of this site runs." in text
        assert ticket.id not in text

    def test_does_not_take_it_for_one_that_is_stuck(self, send, state_of, until):
        ticket = send()
        until(lambda: "another program" in Reasons().of(state_of(ticket.id)))
        id = using(priority=-1).schedule(str, 1)
        get_scheduler().pause("default")
        transaction.commit()
        rows = queue_rows([], datetime.now(UTC))
        assert [row.oldest.id for row in rows if row.oldest] == [id]


class TestControl:
    def test_cancelled_before_it_begins(self, send, patch, editor, state_of, until):
        ticket = send()
        # The message is there a moment before it is known here that it was sent.
        until(lambda: "another program" in str(Reasons().of(state_of(ticket.id))))
        assert editor.delete(f"@tasks/{ticket.id}").json()["state"] == "cancelled"
        assert patch(ticket, state="running").json() == {
            "state": "cancelled",
            "stop": True,
            "silence": 300.0,
        }
        assert state_of(ticket.id).attempts == 0

    def test_cancelled_while_it_runs(self, send, patch, editor, state_of, later):
        ticket = send()
        patch(ticket, state="running")
        answer = editor.delete(f"@tasks/{ticket.id}").json()
        assert (answer["state"], answer["cancel_requested"]) == ("running", True)
        later()
        assert patch(ticket).json()["stop"]
        patch(ticket, state="cancelled")
        assert state_of(ticket.id).state == "cancelled"

    def test_forgotten_while_it_runs(self, send, patch, scheduler, state_of):
        ticket = send()
        patch(ticket, state="running")
        scheduler.remove(ticket.id)
        transaction.commit()
        patch(ticket, state="succeeded")
        assert state_of(ticket.id) is None

    def test_tried_again_it_is_sent_with_another_token(
        self, send, patch, inbox, scheduler, state_of
    ):
        ticket = send({"path": "/a"})
        patch(ticket, state="failed", error={"message": "no"})
        transaction.begin()
        scheduler.retry(ticket.id)
        transaction.commit()
        again = inbox.get(ticket.id)
        assert again.args == ticket.args
        assert patch(ticket, state="succeeded").status_code == 404
        patch(again, state="succeeded")
        assert state_of(ticket.id).attempts == 2

    def test_lists_have_it_among_what_runs(self, send, patch, editor):
        ticket = send()
        assert editor.get("@tasks?state=queued").json()["items_total"] == 1
        patch(ticket, state="running")
        assert editor.get("@tasks?state=queued").json()["items_total"] == 0
        (item,) = editor.get("@tasks?state=running").json()["items"]
        assert item["id"] == ticket.id

    def test_it_is_in_no_slot_while_it_runs(self, send, patch, scheduler, until):
        ticket = send()
        patch(ticket, state="running")

        def is_elsewhere():
            transaction.begin()
            return scheduler.shards.find(ticket.id).is_elsewhere

        def default():
            transaction.begin()
            return next(q for q in scheduler.queues() if q.name == "default")

        using(queue="default").schedule(str, 1)
        scheduler.pause("default")
        transaction.commit()
        until(is_elsewhere)
        assert (default().running, default().waiting) == (0, 1)
        scheduler.resume("default")


class TestSilence:
    @pytest.fixture
    def impatient(self, settings):
        settings(silence=1.0)

    def test_a_silent_worker_has_lost_it(
        self, impatient, send, patch, scheduler, editor
    ):
        ticket = send()
        patch(ticket, state="running")
        record = scheduler.wait(ticket.id, TIMEOUT)
        assert (record.state, record.attempts) == ("lost", 1)
        assert "silent for 1 seconds" in record.error.message
        assert patch(ticket, state="succeeded").json()["stop"]

    def test_one_that_was_to_stop_is_cancelled(
        self, impatient, send, patch, scheduler, editor
    ):
        ticket = send()
        patch(ticket, state="running")
        editor.delete(f"@tasks/{ticket.id}")
        assert scheduler.wait(ticket.id, TIMEOUT).state == "cancelled"
