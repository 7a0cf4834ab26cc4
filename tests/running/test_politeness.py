"""Tasks give way to visitors: who is served, who waits, and for how long."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.running import politeness
from collective.background.running.politeness import Manners
from collective.background.running.politeness import set_switch_interval
from collective.background.running.politeness import Visitors
from collective.background.running.politeness import visitors
from collective.background.testing import eager
from helpers import finished
from helpers import result_of
from helpers import TellingCondition
from helpers import TIMEOUT
from plone.base.interfaces import IPloneSiteRoot
from Products.Five import BrowserView
from threading import Event
from threading import Thread
from typing import ClassVar
from webtest import TestApp
from ZODB.POSException import ConflictError
from zope.component import getGlobalSiteManager
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from zope.interface import implementer
from zope.processlifetime import IProcessStarting
from zope.processlifetime import ProcessStarting
from ZPublisher.httpexceptions import HTTPExceptionHandler
from ZPublisher.HTTPRequest import HTTPRequest
from ZPublisher.Iterators import IUnboundStreamIterator
from ZPublisher.WSGIPublisher import publish_module

import pytest
import requests
import sys
import transaction


VIEW = f"""
<configure xmlns:browser="http://namespaces.zope.org/browser">
  <include package="Products.Five.browser" file="meta.zcml" />
  <browser:page
      name="be-served"
      for="{IPloneSiteRoot.__identifier__}"
      class="{__name__}.Visit"
      permission="zope.Public"
      />
</configure>
"""

ALWAYS = 10 * TIMEOUT  # seconds; a test in which somebody waits so long fails


class Visit(BrowserView):
    """A page that does what the test says.

    ``act(view)``: its body; ``attempts``: one True for each that was published,
    if a task in another thread would have waited for it.
    """

    act: ClassVar = None
    attempts: ClassVar = []

    def __call__(self):
        self.attempts.append(are_served())
        return Visit.act(self)


def in_thread(function, *args):
    """Return what a function returns in a thread of its own that then ends."""
    results = []
    thread = Thread(target=lambda: results.append(function(*args)))
    thread.start()
    thread.join(TIMEOUT)
    return results[0]


def are_served():
    """Would a task wait for anybody?"""
    return in_thread(visitors.wait, 0)


@pytest.fixture
def address(functional, server):
    """The address of the page."""
    with in_site(None):
        xmlconfig.string(VIEW, context=functional["configurationContext"])
    Visit.attempts.clear()
    return f"{server}/{functional['portal'].getId()}/be-served"


@pytest.fixture
def visit(address, monkeypatch):
    """Return a function that visits the page, which calls ``act(view)``."""

    def visit(act):
        monkeypatch.setattr(Visit, "act", act)
        return requests.get(address, timeout=TIMEOUT)

    return visit


class Guest:
    """A visitor whose page is not ready before ``leave()``."""

    def __init__(self, visit):
        self._entered = Event()
        self._leave = Event()
        self.answers = []
        self._thread = Thread(target=lambda: self.answers.append(visit(self._act)))
        self._thread.start()
        assert self._entered.wait(TIMEOUT)

    def _act(self, view):
        self._entered.set()
        self._leave.wait(TIMEOUT)
        return "at last"

    def leave(self):
        self._leave.set()
        self._thread.join(TIMEOUT)


@pytest.fixture
def guest(visit):
    guest = Guest(visit)
    yield guest
    guest.leave()
    assert guest.answers[0].text == "at last"


@pytest.fixture
def polite_wait(functional, settings, monkeypatch):
    """Return a function that changes the setting ``polite_wait``.

    Tasks have worked long enough at each cancellation point, also at their first.
    """
    monkeypatch.setattr(politeness, "STINT", 0)
    return lambda seconds: settings(polite_wait=seconds)


@implementer(IUnboundStreamIterator)
class Film:
    """A body; ``watched``: if a task would have waited when it was read."""

    def __init__(self):
        self.watched = []

    def __iter__(self):
        self.watched.append(are_served())
        yield b"a long film."

    def __next__(self):
        raise AssertionError("the server iterates over it")


def answer(view):
    return "here you are"


def fail(view):
    raise RuntimeError("this page is broken")


def exit(view):
    raise SystemExit(1)


def stream(view):
    view.request.response.write(b"a part")
    assert are_served()
    view.request.response.write(b", and another")


def conflict_once(view):
    if len(view.attempts) == 1:
        raise ConflictError
    return "here you are"


def conflict(view):
    raise ConflictError


class TestWhoIsServed:
    @pytest.mark.parametrize(
        ("act", "status", "attempts"),
        [
            (answer, 200, 1),
            (stream, 200, 1),
            (fail, 500, 1),
            (conflict_once, 200, 2),
            (conflict, 500, 4),
        ],
    )
    def test_each_attempt_and_nobody_afterwards(
        self, visit, monkeypatch, act, status, attempts
    ):
        # As Zope's own setting "max-conflict-retries" does; test layers have 0.
        monkeypatch.setattr(HTTPRequest, "retry_max_count", 3)
        assert visit(act).status_code == status
        assert Visit.attempts == [True] * attempts
        assert not are_served()

    @pytest.mark.parametrize(
        ("act", "environ"),
        [(exit, {}), (fail, {"x-wsgiorg.throw_errors": True})],
    )
    def test_nobody_after_what_the_publisher_tells_nothing_of(
        self, functional, address, monkeypatch, act, environ
    ):
        """It sends neither of the events of success and failure then."""
        monkeypatch.setattr(Visit, "act", act)
        client = TestApp(HTTPExceptionHandler(publish_module), environ)
        path = f"/{functional['portal'].getId()}/be-served"

        def visit():
            with pytest.raises((SystemExit, RuntimeError)):
                client.get(path)
            return True

        assert in_thread(visit)
        assert Visit.attempts == [True]
        assert not are_served()

    def test_not_who_gets_what_is_read_after_the_publication(self, visit):
        """A large file takes as long as the visitor's line, and computes nothing."""
        film = Film()

        def show(view):
            view.request.response.setHeader("Content-Length", "12")
            return film

        assert visit(show).text == "a long film."
        assert film.watched == [False]

    def test_the_end_of_another_request_is_not_the_end(self):
        """A task in the thread of a request has one of its own, for example."""
        seen = Visitors()
        outer, inner = object(), object()

        def visit():
            seen.enter(outer)
            seen.leave(inner)
            return in_thread(seen.wait, 0)

        assert in_thread(visit)

    def test_not_who_never_said_that_it_has_ended(self):
        """The next request of the same thread takes the place of the last one."""
        seen = Visitors()

        def visits():
            seen.enter("lost")
            seen.enter("next")
            seen.leave("next")

        in_thread(visits)
        assert not seen.wait(0)

    def test_not_who_takes_too_long(self):
        """Waits for something else, or has ended together with its thread."""
        in_thread(Visitors.enter, patient := Visitors(patience=ALWAYS), "long")
        in_thread(Visitors.enter, impatient := Visitors(patience=0), "long")
        assert patient.wait(0)
        assert not impatient.wait(ALWAYS)


class TestTasks:
    @pytest.fixture
    def change(self, monkeypatch):
        """Tells when a task begins to wait for visitors."""
        change = TellingCondition()
        monkeypatch.setattr(politeness.visitors, "_changed", change)
        return change

    def test_wait_until_nobody_is_served(self, guest, polite_wait, change):
        polite_wait(ALWAYS)
        went_on = Event()
        id = schedule(lambda: went_on.set())
        transaction.commit()
        change.is_waited_for()
        assert not went_on.is_set()
        guest.leave()
        assert went_on.wait(TIMEOUT)
        assert finished(id).state == "succeeded"

    def test_wait_for_the_last_of_several(self, guest, visit, polite_wait, change):
        polite_wait(ALWAYS)
        other = Guest(visit)
        went_on = Event()
        schedule(lambda: went_on.set())
        transaction.commit()
        change.is_waited_for()
        other.leave()
        change.is_waited_for()
        assert not went_on.is_set()
        guest.leave()
        assert went_on.wait(TIMEOUT)

    @pytest.mark.parametrize("seconds", [0, 0.001])
    def test_go_on_when_they_have_waited_long_enough(self, guest, polite_wait, seconds):
        polite_wait(seconds)

        def work():
            return [current_task().check_cancelled() for _ in range(10)]

        assert result_of(schedule(work)) == [None] * 10
        assert guest.answers == []

    def test_do_not_wait_once_they_are_cancelled(self, visit, polite_wait):
        polite_wait(ALWAYS)
        begun, cancelled = Event(), Event()

        def work():
            begun.set()
            cancelled.wait(TIMEOUT)
            current_task().check_cancelled()

        id = schedule(work)
        transaction.commit()
        assert begun.wait(TIMEOUT)
        guest = Guest(visit)
        get_scheduler().cancel(id)
        cancelled.set()
        assert finished(id).state == "cancelled"
        assert guest.answers == []
        guest.leave()

    def test_do_not_wait_for_the_request_in_whose_thread_they_run(
        self, visit, polite_wait
    ):
        polite_wait(ALWAYS)

        def act(view):
            with eager() as scheduler:
                id = schedule(answer, None)
                transaction.commit()
                return scheduler.record(id).state

        assert visit(act).text == "succeeded"


class TestManners:
    @pytest.fixture
    def clock(self, monkeypatch):
        """A list with the time that it is."""
        clock = [1000.0]
        monkeypatch.setattr(politeness, "monotonic", lambda: clock[0])
        return clock

    @pytest.fixture
    def breaths(self, monkeypatch):
        """A list with how long each break was that somebody has made."""
        breaths = []
        monkeypatch.setattr(politeness, "sleep", breaths.append)
        return breaths

    def test_a_breath_after_each_stint_and_not_before(self, clock, breaths):
        """Who is about to be served, and not counted yet, gets a turn by it."""
        manners = Manners(ALWAYS)
        taken = []
        for seconds in (0, politeness.STINT / 4, politeness.STINT / 4, 1, 0):
            clock[0] += seconds
            manners.give_way()
            taken.append(len(breaths))
        assert taken == [0, 0, 0, 1, 1]

    def test_who_has_just_waited_works_before_it_waits_again(self, clock, monkeypatch):
        waits = []
        monkeypatch.setattr(visitors, "wait", waits.append)
        manners = Manners(ALWAYS)
        for _ in range(2):
            clock[0] += 2 * politeness.STINT
            for _ in range(1000):
                manners.give_way()
        assert waits == [ALWAYS, ALWAYS]

    def test_none_at_all_if_they_are_switched_off(self, clock, breaths):
        manners = Manners(0)
        clock[0] += 1
        manners.give_way()
        assert breaths == []


class TestSwitchInterval:
    @pytest.fixture(autouse=True)
    def restored(self):
        before = sys.getswitchinterval()
        yield
        sys.setswitchinterval(before)

    def test_is_set_when_zope_starts(self, functional):
        registry = getGlobalSiteManager().adapters
        handlers = registry.subscriptions([IProcessStarting], None)
        assert set_switch_interval in handlers

    def test_is_that_of_the_setting(self, monkeypatch):
        monkeypatch.setenv("BACKGROUND_SWITCH_INTERVAL", "0.002")
        set_switch_interval(ProcessStarting())
        assert sys.getswitchinterval() == pytest.approx(0.002)

    def test_is_left_alone_without_one(self, monkeypatch):
        monkeypatch.delenv("BACKGROUND_SWITCH_INTERVAL", raising=False)
        sys.setswitchinterval(0.003)
        set_switch_interval(ProcessStarting())
        assert sys.getswitchinterval() == pytest.approx(0.003)
