"""What the attempts of a task came to, and who has intervened, is kept with it."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.model import trail
from collective.background.model.records import ErrorInfo
from collective.background.scheduling.actors import acting
from collective.background.testing import drain
from collective.background.zopecompat import system_user
from datetime import datetime
from datetime import UTC
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from plone.app.testing import TEST_USER_ID
from threading import Event
from transaction.interfaces import TransientError
from types import SimpleNamespace

import logging
import pytest
import transaction


NOW = datetime(2026, 1, 1, tzinfo=UTC)

attempts = []
begun, never = Event(), Event()


def fail_twice():
    attempts.append(1)
    if len(attempts) < 3:
        raise ValueError(f"attempt {len(attempts)}")


def conflict_once():
    attempts.append(1)
    if len(attempts) == 1:
        raise TransientError("simulated")


def fail():
    raise ValueError("it went wrong")


def run_until_cancelled():
    begun.set()
    for _ in range(TIMEOUT * 100):
        never.wait(0.01)
        current_task().check_cancelled()


@pytest.fixture(autouse=True)
def anew():
    attempts.clear()
    begun.clear()


@pytest.fixture
def lines(caplog):
    """Return a function: the log records of the transitions of tasks, in order."""
    caplog.set_level(logging.INFO)

    def lines():
        drain()
        name = "collective.background.logs"
        return [record for record in caplog.records if record.name == name]

    return lines


def by_whom(record):
    return [(each.action, each.by, each.user_id) for each in record.interventions]


class TestAttempts:
    def test_each_that_was_in_vain_is_kept_with_its_error(self, tier):
        record = finished(using(retries=2, backoff=0).schedule(fail_twice))
        assert [(a.number, a.state) for a in record.timeline] == [
            (1, "retrying"),
            (2, "retrying"),
            (3, "succeeded"),
        ]
        first, second, third = record.timeline
        assert first.error.type == "builtins.ValueError"
        assert second.error.message == "attempt 2"
        assert "in fail_twice" in first.error.traceback
        assert "runner.py" not in first.error.traceback
        assert third.error is None
        assert {a.instance for a in record.timeline} == {record.instance}
        moments = [m for a in record.timeline for m in (a.started, a.finished)]
        assert moments == sorted(moments)
        assert record.began is None

    def test_a_conflict_is_one_too(self, tier):
        record = finished(schedule(conflict_once))
        assert [a.state for a in record.timeline] == ["retrying", "succeeded"]
        assert record.timeline[0].error.message == "simulated"

    def test_nothing_is_kept_of_a_task_that_succeeds_at_once(self, tier):
        task_id = schedule(int)
        record = finished(task_id)
        assert record.timeline == record.interventions == ()
        if tier == "database":
            stored = vars(get_scheduler().shards.find(task_id))
            assert not {"_timeline", "_interventions"} & set(stored)

    def test_they_stay_when_it_is_tried_again(self, tier):
        task_id = finished(schedule(fail)).id
        get_scheduler().retry(task_id)
        record = finished(task_id)
        assert [(a.number, a.state) for a in record.timeline] == [
            (1, "failed"),
            (2, "failed"),
        ]
        assert by_whom(record) == [("retry", "user", TEST_USER_ID)]

    def test_there_is_a_bound(self):
        what = SimpleNamespace(timeline=())
        frame = f'  File "/an/add-on.py", line 1, in f\n    {"x" * 9_000}\n'
        error = ErrorInfo(
            type="T" * 300, message="m" * 9_000, traceback=frame, public="p" * 2_000
        )
        for number in range(15):
            trail.note_attempt(
                what,
                "failed",
                error,
                number=number,
                started=NOW,
                finished=NOW,
                instance="",
            )
        assert [a.number for a in what.timeline] == list(range(5, 15))
        kept = what.timeline[0].error
        assert kept.public is None
        assert len(kept.type + kept.message + kept.traceback) == 2_000


class TestInterventions:
    def test_who_cancels_what_waits(self, tier, lines):
        with waiting():
            task_id = schedule(int)
            transaction.commit()
            transaction.begin()
            get_scheduler().cancel(task_id)
        record = finished(task_id)
        assert by_whom(record) == [("cancel", "user", TEST_USER_ID)]
        assert f"cancelled by {TEST_USER_ID}, " in lines()[-1].getMessage()
        assert lines()[-1].background_by == TEST_USER_ID

    def test_who_cancels_what_runs_is_known_at_once(self, tier):
        task_id = schedule(run_until_cancelled)
        transaction.commit()
        assert begun.wait(TIMEOUT)
        transaction.begin()
        record = get_scheduler().cancel(task_id)
        get_scheduler().cancel(task_id)
        assert by_whom(record) == [("cancel", "user", TEST_USER_ID)]
        record = finished(task_id)
        assert record.state == "cancelled"
        assert by_whom(record) == [("cancel", "user", TEST_USER_ID)]
        assert [a.state for a in record.timeline] == ["cancelled"]

    def test_who_tries_it_again(self, tier, lines):
        task_id = finished(schedule(fail)).id
        get_scheduler().retry(task_id)
        finished(task_id)
        [line] = [line for line in lines() if " queued by " in line.getMessage()]
        assert line.background_by == TEST_USER_ID

    def test_the_operator_at_the_command_line(self, tier):
        task_id = finished(schedule(fail)).id
        with acting(trail.COMMAND):
            get_scheduler().retry(task_id)
        assert by_whom(finished(task_id)) == [("retry", "command", None)]

    def test_code_that_runs_as_zope_itself(self, tier):
        task_id = finished(schedule(fail)).id
        with api.env.adopt_user(user=system_user()):
            get_scheduler().retry(task_id)
        assert by_whom(finished(task_id)) == [("retry", "system", None)]

    def test_a_timeout(self, tier, lines):
        record = finished(using(timeout=0.001).schedule(run_until_cancelled))
        assert record.state == "failed"
        assert by_whom(record) == [("cancel", "timeout", None)]
        assert "failed by a timeout, " in lines()[-1].getMessage()

    def test_of_a_large_group_too(self, tier, monkeypatch):
        monkeypatch.setattr("collective.background.database.changes.PORTION", 2)
        with waiting():
            with group() as whole:
                ids = [schedule(int) for _ in range(3)]
            transaction.commit()
            transaction.begin()
            get_scheduler().cancel(whole.id)
        for task_id in ids:
            record = finished(task_id)
            assert by_whom(record) == [("cancel", "user", TEST_USER_ID)]

    def test_there_is_a_bound(self):
        what = SimpleNamespace(interventions=())
        for _ in range(15):
            done = trail.Intervention(action=trail.RETRY, when=NOW, by=trail.USER)
            trail.note_intervention(what, done)
        assert len(what.interventions) == trail.INTERVENTIONS
