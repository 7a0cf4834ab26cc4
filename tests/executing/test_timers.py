"""Timers: in their order, and nothing stays of what was taken out."""

from collective.background.executing.timers import Timers
from math import inf


def test_what_is_due_comes_in_order():
    timers = Timers()
    for number, moment in enumerate((3, 1, 2, 1)):
        timers.set(number, moment, f"{moment}-{number}")
    assert timers.next() == 1
    assert timers.take(2) == ["1-1", "1-3", "2-2"]
    assert list(timers) == ["3-0"]


def test_another_moment_takes_the_place_of_the_first():
    timers = Timers()
    timers.set("a", 1, "early")
    timers.set("a", 2, "late")
    assert timers.moment("a") == timers.next() == 2
    assert timers.take_all() == ["late"]


def test_nothing_stays_of_what_was_taken_out():
    timers = Timers()
    timers.set("a", 1, "thing")
    assert timers.discard("a")
    assert not timers.discard("a")
    assert not timers
    assert list(timers) == timers.take_all() == []
    assert timers.next() == timers.moment("a") == inf
