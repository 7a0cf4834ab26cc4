"""Schedulers of a test's own, and tasks that go on when the test says so."""

from collections import Counter
from collective.background import get_scheduler
from collective.background.database.installing import install
from collective.background.executing import deployment
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.scheduler import TransactionalScheduler
from collective.background.model.config import Settings
from collective.background.testing import serving
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from helpers import TIMEOUT
from threading import Event
from threading import Thread
from time import monotonic
from zope.component import getGlobalSiteManager

import pytest
import sys
import transaction


@pytest.fixture
def provide():
    """Return a function that registers a global utility for the time of the test."""
    site_manager = getGlobalSiteManager()
    usual = {}

    def provide(utility, interface):
        usual.setdefault(interface, site_manager.queryUtility(interface))
        site_manager.registerUtility(utility, interface)
        return utility

    yield provide
    for interface, utility in usual.items():
        site_manager.unregisterUtility(provided=interface)
        if utility is not None:
            site_manager.registerUtility(utility, interface)


@pytest.fixture
def make_scheduler(provide):
    """Return a function that makes a scheduler with the given settings.

    It is the one that ``get_scheduler()`` returns from then on. Without the
    functional layer its tasks run in a process without a site.
    """
    made = []

    def make(**settings):
        scheduler = TransactionalScheduler(settings=Settings(**settings))
        made.append(provide(scheduler, ITransactionalScheduler))
        return scheduler

    transaction.abort()
    yield make
    transaction.abort()
    for scheduler in made:
        scheduler.wait_all(TIMEOUT)


@pytest.fixture
def scheduler(make_scheduler):
    """A scheduler with two slots in the queue "default"."""
    return make_scheduler()


@pytest.fixture
def settings(monkeypatch):
    """Return a function that changes settings of the process for the time of the test.

    Those of the current scheduler, whatever site. Slots stay as they are.
    """

    def change(**values):
        scheduler = getGlobalSiteManager().getUtility(ITransactionalScheduler)
        executor = scheduler.executor
        monkeypatch.setattr(executor, "settings", replace(executor.settings, **values))

    return change


@pytest.fixture
def staging(settings, monkeypatch):
    """This process is part of the deployment "staging"."""
    monkeypatch.setattr(deployment, "_foreign", {})
    settings(deployment="staging")


@pytest.fixture
def copied(site, staging):
    """A site that belongs to "production"."""
    deployment.assign(site, "production")
    transaction.commit()
    return site


class Gate:
    """Tasks that wait until the test opens the gate.

    ``task()`` is what to schedule; ``begun`` is set when the first has begun.
    """

    def __init__(self):
        begun = self.begun = Event()
        opened = self._opened = Event()

        def task():
            begun.set()
            assert opened.wait(TIMEOUT)
            return "through the gate"

        self.task = task

    def wait(self):
        """Wait until a task stands at the gate."""
        assert self.begun.wait(TIMEOUT)

    def open(self):
        self._opened.set()


@pytest.fixture
def gate(make_scheduler):
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def resumed(functional):
    """Let the usual queue go on after the test."""
    yield
    get_scheduler().resume("default")


@pytest.fixture
def until():
    """Return a function that waits until a condition holds, which nobody announces."""

    def until(condition):
        deadline = monotonic() + TIMEOUT
        while not condition():
            assert monotonic() < deadline
            Event().wait(0.001)

    return until


@pytest.fixture
def subscribe():
    """Return a function that subscribes to an event for the time of the test."""
    site_manager = getGlobalSiteManager()
    subscribed = []

    def subscribe(interface, handler):
        site_manager.registerHandler(handler, (interface,))
        subscribed.append((handler, (interface,)))

    yield subscribe
    for handler, required in subscribed:
        site_manager.unregisterHandler(handler, required)


@pytest.fixture
def refuse(monkeypatch):
    """Let threads whose name begins so not start, so many times."""
    left = Counter()
    start = Thread.start

    def start_or_not(thread):
        for prefix in left:
            if thread.name.startswith(prefix) and left[prefix]:
                left[prefix] -= 1
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(Thread, "start", start_or_not)
    return left


@pytest.fixture(params=["memory", "database"])
def tier(request, site):
    """Where the tasks of the site live, in a process that executes them either way."""
    with ExitStack() as stack:
        if request.param == "database":
            install(site)
            transaction.commit()
            stack.enter_context(serving())
        yield request.param
        transaction.abort()


class Clock:
    """What the package takes for the monotonic clock. It stands still."""

    now = 1000.0

    def advance(self, seconds):
        """Let time pass, and the dispatcher look at the clock."""
        self.now += seconds
        get_scheduler().resume("default")


def modules_with(name):
    """Return the modules of the package that have imported something by a name."""
    return [
        module
        for path, module in list(sys.modules.items())
        if path.startswith("collective.background.") and hasattr(module, name)
    ]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in modules_with("monotonic"):
        monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def set_clock(monkeypatch):
    """Return a function that sets the clock of the system; by how much, a timedelta."""

    def set_clock(difference):
        class Set(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + difference

        for module in modules_with("datetime"):
            monkeypatch.setattr(module, "datetime", Set)

    return set_clock
