"""What one instance of all does is done though some of them do nothing."""

from collective.background.database.duty import is_on_duty
from collective.background.database.duty import left_of
from collective.background.database.instances import Instance
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from types import SimpleNamespace

import pytest


TURN = 5.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def instances(*roles, draining=()):
    """Return {id: Instance}: "0", "1", …, with these roles."""
    found = {str(n): Instance(str(n), role, {}) for n, role in enumerate(roles)}
    for id in draining:
        found[id].is_draining = True
    return found


def on_duty(known, moment):
    """Return the ids of those whose turn it is."""
    looks = [SimpleNamespace(me=id, instances=known, now=moment) for id in known]
    return [look.me for look in looks if is_on_duty(look, TURN)]


def in_turns(known):
    """Return who is on duty in one turn after the other, as a set of tuples."""
    moments = [BEGIN + timedelta(seconds=TURN * n) for n in range(len(known))]
    return [tuple(on_duty(known, moment)) for moment in moments]


def test_each_one_has_its_turn():
    known = instances("all", "web", "worker")
    assert sorted(in_turns(known)) == [("0",), ("1",), ("2",)]


def test_as_long_as_it_lasts():
    look = SimpleNamespace(now=BEGIN + timedelta(seconds=3))
    assert left_of(look, TURN) == 2


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (instances("all", "all", draining=["0"]), {("1",)}),
        (instances("celery", "web"), {("1",)}),
        (instances("celery", "celery"), {("0",), ("1",)}),
        (instances("celery", "web", draining=["1"]), {("0",)}),
        (instances("all", draining=["0"]), {("0",)}),
    ],
)
def test_who_stays_comes_first(known, expected):
    assert set(in_turns(known)) == expected


def test_who_knows_of_nobody_is_on_duty():
    assert is_on_duty(SimpleNamespace(me="a", instances={}, now=BEGIN), TURN)
