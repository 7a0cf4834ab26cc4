"""When a process looks at its database again."""

from collective.background.database import pacing
from collective.background.database.pacing import Pacing
from itertools import chain
from itertools import repeat
from math import inf
from threading import Condition


QUESTIONS = 30


class Database:
    """One in which somebody else commits after some questions."""

    storage = None

    def __init__(self):
        self._answers = chain(repeat(b"1", QUESTIONS), repeat(b"2"))

    def lastTransaction(self):
        return next(self._answers)


class Clock(Condition):
    """Notes for how long somebody waits."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return super().wait(timeout)


def test_what_others_commit_is_seen_as_soon_after_a_long_rest(monkeypatch):
    """Who has had nothing to do for a while does not look more seldom."""
    glance = 0.001
    monkeypatch.setattr(pacing, "GLANCE", glance)
    clock = Clock()
    watched = Pacing(Database(), clock, has_ended=lambda: False)
    watched.sleep(0)  # it is woken by what was there at the beginning
    watched.wait(b"1", inf, is_busy=False)
    assert max(clock.waits) <= glance


def test_what_may_wait_is_looked_at_with_what_may_not():
    clock = Clock()
    watched = Pacing(Database(), clock, has_ended=lambda: False)
    watched.sleep(0)
    watched.wake_up(within=3600.0)
    watched.sleep(0.001)
    assert len(clock.waits) == 1
    watched.wake_up()
    watched.sleep(3600.0)
    assert len(clock.waits) == 1
