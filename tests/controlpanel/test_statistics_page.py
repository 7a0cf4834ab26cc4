"""Numbers of tasks that have ended, and failures by error."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.controlpanel.statistics import measure
from collective.background.database.installing import install
from collective.background.testing import serving
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from helpers import TIMEOUT
from plone.app.testing import login
from types import SimpleNamespace

import pytest
import re
import transaction


PAGE = "@@background-tasks-statistics"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def fail(number):
    if number % 2:
        raise KeyError(number)
    raise ValueError(f"row {number} has no name")


def ended(ids):
    transaction.commit()
    for id in ids:
        get_scheduler().wait(id, TIMEOUT)
    transaction.begin()
    return ids


def record(seconds, callable="shop.load", state="succeeded"):
    run_time = None if seconds is None else timedelta(seconds=seconds).total_seconds()
    return SimpleNamespace(callable=callable, state=state, run_time=run_time)


class TestMeasures:
    def test_are_median_and_the_time_of_nearly_all(self):
        [found] = measure(record(seconds) for seconds in range(1, 101))
        assert (found.count, found.median, found.high) == (100, 50.5, 95)

    def test_count_what_has_failed_or_was_lost(self):
        found = measure(
            [
                *(record(1, "a", state) for state in ("failed", "lost", "cancelled")),
                *(record(1, "b") for _ in range(4)),
            ]
        )
        assert [(m.callable, m.count, m.bad) for m in found] == [
            ("b", 4, 0),
            ("a", 3, 2),
        ]

    def test_of_what_never_ran_there_are_no_times(self):
        [found] = measure([record(None, state="cancelled")])
        assert (found.count, found.median, found.high) == (1, None, None)


@pytest.mark.parametrize("site_tier", ["memory", "database"], indirect=True)
class TestPage:
    @pytest.fixture
    def site_tier(self, request, portal):
        if request.param == "memory":
            yield
            return
        install(portal)
        transaction.commit()
        with serving():
            yield
            transaction.abort()

    def test_has_failures_by_error(self, boss, site_tier):
        ids = ended([schedule(fail, number) for number in (1, 2, 4)])
        boss.look(PAGE)
        name = get_scheduler().record(ids[0]).callable
        rows = boss.texts("#background-tasks-failures tbody tr")
        assert [row.split(" ", 4)[:4] for row in rows] == [
            ["2", "ValueError", "in", name],
            ["1", "KeyError", "in", name],
        ]
        assert "row 4 has no name" in rows[0]
        boss.browser.open(boss.find("#background-tasks-failures td a")["href"])
        assert boss.ids() == [ids[2], ids[1]]

    def test_they_are_tried_again_together(self, boss, site_tier):
        ended([schedule(fail, number) for number in (1, 2, 4)])
        boss.look(PAGE)
        boss.browser.open(boss.find("#background-tasks-failures a.btn")["href"])
        assert boss.texts("h2") == ["Try tasks again: 2. Is that what you want?"]

    def test_has_the_functions(self, boss, site_tier):
        ids = ended([schedule(int), schedule(int), schedule(fail, 1)])
        boss.look(PAGE)
        name = get_scheduler().record(ids[2]).callable
        rows = boss.texts("#background-tasks-measures tbody tr")
        assert [re.sub(r"(< 1|\d+) s", "…", row) for row in rows] == [
            "builtins.int 2 0 … …",
            f"{name} 1 1 … …",
        ]


def test_says_when_there_is_nothing(boss):
    boss.look(PAGE)
    assert "No task has failed." in boss.contents
    assert "No task has ended." in boss.contents


def test_what_others_are_not_to_see_is_not_named(steward, portal):
    login(portal, "boss")
    ended([using(title="Secret").schedule(fail, 1)])
    steward.look(PAGE)
    assert steward.status == 200
    assert "KeyError" not in steward.contents
    assert len(steward.find_all("#background-tasks-failures tr td a")) == 2
    assert not steward.find("#background-tasks-failures a.btn")


def test_only_the_newest_are_looked_at(boss, portal, monkeypatch):
    asked = []
    read = get_scheduler().records

    def records(**arguments):
        asked.append(arguments["among"])
        return read(**arguments)

    monkeypatch.setattr(get_scheduler(), "records", records)
    boss.look(PAGE)
    assert asked == [1000, 1000]
