"""The waiting room of a site in the database: what a process keeps of its users."""

from collective.background.database.room import Room
from collective.background.model.config import Settings
from collective.background.scheduling.room import Counts
from collective.background.scheduling.room import Entrant
from threading import Condition

import pytest


SETTINGS = Settings(max_waiting=32)
USER = "/acl_users", "ann"


@pytest.fixture
def room():
    """A Room into which a user has come so often that his tasks are to be counted."""
    room = Room(Condition())
    for _ in range(2):
        entrant = Entrant(title="", user=USER, is_due=True, is_bound=True)
        room.admit(entrant, SETTINGS)
        room.committed(entrant)
    assert room.whose(SETTINGS) == {USER}
    return room


def test_nothing_is_kept_of_users_when_nobody_waits(room):
    """Or it would become more with each of them, for ever."""
    room.counted(Counts(), room.begin_look(), ())
    assert room.whose(SETTINGS) == set()
    assert room.waiting() == 0


def test_but_while_somebody_does(room):
    counts = Counts()
    counts.set_whole(True, 1)
    room.counted(counts, room.begin_look(), ())
    assert room.whose(SETTINGS) == {USER}
    assert room.waiting() == 1


def test_and_while_somebody_is_about_to_commit(room):
    entrant = Entrant(title="", user=USER, is_due=True, is_bound=True)
    room.admit(entrant, SETTINGS)
    room.counted(Counts(), room.begin_look(), ())
    assert room.waiting() == 1
    room.leave(entrant)
    assert room.waiting() == 0
