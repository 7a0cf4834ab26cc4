"""Which kinds of tasks conflict often, as far as a process has seen."""

from collective.background.scheduling import contention
from collective.background.scheduling.contention import Contention
from collective.background.scheduling.contention import KINDS
from collective.background.scheduling.contention import LAST
from collective.background.scheduling.contention import OFTEN
from collective.background.scheduling.contention import WHILE

import pytest


class Clock:
    now = 1000.0


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(contention, "monotonic", lambda: Clock.now)
    monkeypatch.setattr(Clock, "now", 1000.0)
    return Clock


@pytest.fixture
def seen(clock):
    return Contention()


def note(seen, *runs, kind="kind"):
    for has_conflicted in runs:
        seen.note(kind, has_conflicted)


class TestContention:
    def test_needs_some_conflicts(self, seen):
        note(seen, *[True] * (OFTEN - 1))
        assert not seen.is_high("kind")
        note(seen, True)
        assert seen.is_high("kind")
        assert not seen.is_high("another kind")

    def test_among_the_last_runs(self, seen):
        for _ in range(10):
            note(seen, *[True] * (OFTEN - 1), *[False] * (LAST - 1))
        assert not seen.is_high("kind")

    def test_lasts_for_a_while_after_the_last_conflict(self, seen, clock):
        note(seen, *[True] * OFTEN, *[False] * LAST)
        clock.now += WHILE - 1
        assert seen.is_high("kind")
        note(seen, True)
        clock.now += WHILE - 1
        assert seen.is_high("kind")
        clock.now += 1
        assert not seen.is_high("kind")

    def test_begins_anew_then(self, seen, clock):
        note(seen, *[True] * OFTEN, *[False] * LAST)
        clock.now += WHILE
        note(seen, False, *[True] * (OFTEN - 1))
        assert not seen.is_high("kind")
        note(seen, True)
        assert seen.is_high("kind")

    def test_nothing_is_kept_of_most_kinds(self, seen):
        for number in range(2 * KINDS):
            note(seen, False, kind=number)
        assert not seen._runs
        for number in range(2 * KINDS):
            note(seen, *[True] * OFTEN, kind=number)
        assert len(seen._runs) == len(seen._until) == KINDS
        assert seen.is_high(2 * KINDS - 1)
        assert not seen.is_high(0)
