"""The history counts by minute and hour, for each site, and does not grow."""

from collective.background import schedule
from collective.background.interfaces import IHistory
from collective.background.model.records import TaskRecord
from collective.background.telling.history import History
from collective.background.telling.history import HOUR
from collective.background.telling.history import MINUTE
from collective.background.testing import drain
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from helpers import finished

import pytest


NOW = datetime(2026, 11, 24, 12, 30, 15, tzinfo=UTC)
RECORD = TaskRecord(
    id="0" * 32,
    title="A task",
    state="running",
    kind="call",
    callable="builtins.int",
    queue="default",
    priority=0,
    user_id=None,
    user_path=None,
    site_path="/site",
    context_path=None,
    context_uid=None,
    created=NOW - timedelta(seconds=5),
    started=NOW,
    attempts=1,
)


def ended(state, moment):
    return replace(RECORD, state=state, finished=moment)


@pytest.fixture
def history():
    return History()


def totals(history, length, site_path="/site", now=NOW):
    """Return how many tasks have started and ended within the time that is kept."""
    periods = history.periods(site_path, length, now)
    return (
        sum(period.started for period in periods),
        sum(sum(period.ended.values()) for period in periods),
    )


class TestPeriods:
    def test_are_the_minutes_of_an_hour_and_the_hours_of_a_day(self, history):
        minutes = history.periods("/site", MINUTE, NOW)
        hours = history.periods("/site", HOUR, NOW)
        assert len(minutes) * MINUTE == HOUR
        assert len(hours) * HOUR == timedelta(days=1)
        for length, periods in ((MINUTE, minutes), (HOUR, hours)):
            starts = [period.start for period in periods]
            assert starts[-1] <= NOW < starts[-1] + length
            assert starts == [starts[0] + i * length for i in range(len(starts))]

    @pytest.mark.parametrize("length", [MINUTE, HOUR])
    def test_have_what_ended_in_them_by_state(self, history, length):
        history.add(ended("failed", NOW))
        history.add(ended("succeeded", NOW))
        history.add(ended("succeeded", NOW - length))
        *_, before, last = history.periods("/site", length, NOW)
        assert {k: v for k, v in last.ended.items() if v} == {
            "failed": 1,
            "succeeded": 1,
        }
        assert {k: v for k, v in before.ended.items() if v} == {"succeeded": 1}

    def test_have_the_waiting_time_of_what_started_in_them(self, history):
        history.add(RECORD)
        history.add(replace(RECORD, created=NOW - timedelta(seconds=15)))
        last = history.periods("/site", MINUTE, NOW)[-1]
        assert (last.started, last.mean_wait, last.longest_wait) == (2, 10.0, 15.0)

    def test_without_a_start_have_no_waiting_time(self, history):
        assert history.periods("/site", MINUTE, NOW)[-1].mean_wait is None

    def test_count_only_the_first_start_of_a_task(self, history):
        history.add(replace(RECORD, attempts=2))
        assert totals(history, MINUTE) == (0, 0)

    def test_count_no_state_in_between(self, history):
        history.add(replace(RECORD, state="queued"))
        history.add(replace(RECORD, state="retrying"))
        assert totals(history, MINUTE) == (0, 0)

    def test_of_sites_are_kept_apart(self, history):
        history.add(RECORD)
        assert totals(history, MINUTE, site_path="/other") == (0, 0)


class TestBounds:
    def test_what_is_older_is_forgotten(self, history):
        history.add(RECORD)
        later = NOW + timedelta(hours=2)
        assert totals(history, MINUTE, now=later) == (0, 0)
        assert totals(history, HOUR, now=later) == (1, 0)
        assert totals(history, HOUR, now=NOW + timedelta(days=2)) == (0, 0)

    def test_tasks_of_many_days_take_no_more_room(self, history):
        for hours in range(100):
            history.add(ended("succeeded", NOW + timedelta(hours=hours)))
        site = history._sites["/site"]
        assert len(site[MINUTE]._counts) <= HOUR // MINUTE
        assert len(site[HOUR]._counts) == timedelta(days=1) // HOUR

    def test_what_comes_too_late_is_not_counted(self, history):
        for minutes in range(60):
            history.add(ended("succeeded", NOW + timedelta(minutes=minutes)))
        history.add(ended("succeeded", NOW - timedelta(days=3)))
        latest = NOW + timedelta(minutes=59)
        assert totals(history, MINUTE, now=latest) == (0, 60)

    def test_sites_that_have_no_tasks_any_more_are_forgotten(self, history):
        history.add(RECORD)
        later = NOW + timedelta(days=2)
        history.add(replace(RECORD, site_path="/other", started=later))
        assert set(history._sites) == {"/other"}


def test_many_threads_may_count(history):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(history.add, [RECORD] * 1000))
    assert totals(history, HOUR) == (1000, 0)


def test_tasks_that_run_are_counted(site, provide):
    history = provide(History(), IHistory)
    record = finished(schedule(int))
    drain()
    for length in (MINUTE, HOUR):
        counted = totals(history, length, record.site_path, now=record.finished)
        assert counted == (1, 1)
