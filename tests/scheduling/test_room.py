"""The waiting room: bounds for all together, for each user, and for what is not due."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.database.installing import install
from collective.background.exceptions import QueueFull
from collective.background.scheduling import room as waiting_room
from collective.background.scheduling.room import _Bound
from collective.background.scheduling.room import is_bound
from collective.background.testing import serving
from contextlib import suppress
from helpers import add_users
from helpers import TIMEOUT
from plone.app.testing import login
from plone.app.testing import logout
from time import monotonic
from zope.globalrequest import clearRequest
from zope.globalrequest import setRequest

import pytest
import transaction


@pytest.fixture(params=["memory", "database"])
def room(request, site, settings):
    """A site with room for eight tasks, and for four that are not due; none starts."""
    settings(max_waiting=8, max_delayed=4)
    roles = {"mary": [], "peter": [], "boss": ["Site Administrator"]}
    add_users(site, roles)
    if request.param == "database":
        install(site)
        transaction.commit()
        with serving():
            yield from _paused(site)
    else:
        yield from _paused(site)


def _paused(site):
    get_scheduler().pause("default")
    transaction.begin()
    yield site
    transaction.abort()
    for record in get_scheduler().records(limit=None):
        get_scheduler().remove(record.id)
    get_scheduler().resume("default")
    get_scheduler().wait_all(TIMEOUT)


def let_in(number, **options):
    """Schedule so many tasks; each in a transaction of its own."""
    ids = []
    for _ in range(number):
        ids.append(using(**options).schedule(len, "x"))
        transaction.commit()
    return ids


def refuse(match, **options):
    using(**options).schedule(len, "x")
    with pytest.raises(QueueFull, match=match):
        transaction.commit()
    transaction.abort()


class TestOneUser:
    def test_has_a_quarter(self, room):
        login(room, "mary")
        let_in(2)
        refuse("^2 tasks of the same user are waiting .*'max_waiting_per_user' allows")

    def test_does_not_keep_others_out(self, room):
        login(room, "mary")
        let_in(2)
        refuse("max_waiting_per_user")
        login(room, "peter")
        let_in(2)
        refuse("max_waiting_per_user")

    def test_nor_with_a_single_transaction(self, room):
        login(room, "mary")
        for _ in range(3):
            schedule(len, "x")
        with pytest.raises(QueueFull, match="max_waiting_per_user"):
            transaction.commit()

    def test_has_what_the_settings_say(self, room, settings):
        settings(max_waiting=8, max_waiting_per_user=3)
        login(room, "mary")
        let_in(3)
        refuse("^3 tasks of the same user")

    def test_has_room_again_when_others_of_his_have_left(self, room):
        login(room, "mary")
        first, _ = let_in(2)
        refuse("max_waiting_per_user")
        get_scheduler().cancel(first)
        _until_let_in()
        refuse("max_waiting_per_user")

    def test_that_goes_for_a_retry_as_well(self, room):
        login(room, "mary")
        first, _ = let_in(2)
        get_scheduler().cancel(first)
        _until_let_in()
        transaction.begin()
        with pytest.raises(QueueFull, match="max_waiting_per_user"):
            get_scheduler().retry(first)

    def test_visitors_are_one_together(self, room):
        logout()
        let_in(2)
        refuse("max_waiting_per_user")


class TestWhoHasAShare:
    """Is asked as seldom as possible: that costs more than the rest."""

    @pytest.fixture
    def asked(self, monkeypatch):
        """How often it was asked, as the length of a list."""
        times = []

        class Bound(_Bound):
            __slots__ = ()

            def __bool__(self):
                times.append(1)
                return super().__bool__()

        monkeypatch.setattr(waiting_room, "_Bound", Bound)
        return times

    def test_is_not_asked_of_who_is_known(self, room, asked):
        login(room, "mary")
        let_in(2)
        assert len(asked) <= 1
        refuse("max_waiting_per_user")

    def test_but_of_others(self, room, asked):
        login(room, "mary")
        let_in(2)
        login(room, "boss")
        let_in(3)
        assert asked
        let_in(1, user="mary")


def _until_let_in():
    """Schedule a task, as soon as a look has seen that there is room."""
    deadline = monotonic() + TIMEOUT
    while monotonic() < deadline:
        with suppress(QueueFull):
            return let_in(1)
        transaction.abort()
    pytest.fail("there is no room")


class TestManagers:
    def test_have_the_whole(self, room):
        login(room, "boss")
        let_in(8)
        refuse("^8 tasks are waiting already, and 'max_waiting' allows no more")

    def test_also_for_somebody_else(self, room):
        login(room, "boss")
        let_in(8, user="mary")
        refuse("'max_waiting' allows no more", user="mary")

    def test_and_so_has_a_script(self, room):
        login(room, "mary")
        assert is_bound()
        request = room.REQUEST
        clearRequest()
        try:
            assert not is_bound()
        finally:
            setRequest(request)


class TestWhatIsNotDue:
    def test_takes_no_room_of_the_others(self, room):
        login(room, "boss")
        let_in(4, delay=3600)
        let_in(1)

    def test_has_a_bound_of_its_own(self, room):
        login(room, "boss")
        first, *_ = let_in(3, delay=3600)
        let_in(1, after=first)
        refuse("^4 tasks wait for their time or for others .*'max_delayed'", delay=60)
        refuse("'max_delayed' allows no more", after=first)

    def test_of_which_a_user_has_a_quarter(self, room):
        login(room, "mary")
        let_in(1, delay=3600)
        refuse("^1 tasks of the same user wait .* a quarter of 'max_delayed'", delay=60)
        let_in(2)
