"""The thread that waits for ticks: when it begins, how it ends, how long it waits."""

from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import Executor
from collective.background.executing.serving import ServingBegins
from collective.background.interfaces import ITaskSucceeded
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.scheduler import TransactionalScheduler
from collective.background.model.config import Settings
from collective.background.recurring import ticker as module
from collective.background.recurring.ticker import start_ticker
from collective.background.recurring.ticker import Ticker
from collective.background.testing import drain
from contextlib import contextmanager
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from helpers import TIMEOUT
from queue import Queue
from zope.component import getGlobalSiteManager

import calls
import pytest
import threading


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Who stops a ticker waits until it has stopped."""
    monkeypatch.setattr(module, "JOIN", TIMEOUT)


def ticker_threads():
    return [t for t in threading.enumerate() if t.name == "background-recurring"]


class Failing:
    """A database that cannot be opened at its first look, and at the tenth opening."""

    def __init__(self, database):
        self._database = database
        self._opened = 0
        self.has_failed_again = threading.Event()

    def open(self):
        self._opened += 1
        if self._opened == 10:
            self.has_failed_again.set()
        if self._opened in (1, 10):
            raise OSError("no such storage")
        return self._database.open()


class Away:
    """A database whose server does not answer until it is ``back``."""

    def __init__(self, database):
        self._database = database
        self.asked = threading.Event()
        self.back = threading.Event()

    def open(self):
        self.asked.set()
        assert self.back.wait(TIMEOUT)
        return self._database.open()


@pytest.fixture
def stopping_scheduler():
    """Return a context in which the process drains a scheduler of its own."""
    site_manager = getGlobalSiteManager()

    @contextmanager
    def stopping_scheduler():
        usual = site_manager.getUtility(ITransactionalScheduler)
        scheduler = TransactionalScheduler(settings=usual.settings)
        site_manager.registerUtility(scheduler, ITransactionalScheduler)
        scheduler.drain()
        yield
        site_manager.registerUtility(usual, ITransactionalScheduler)

    return stopping_scheduler


@pytest.fixture
def succeeded():
    """A queue with the records of tasks that have succeeded."""
    records = Queue()

    def note(event):
        records.put(event.record)

    site_manager = getGlobalSiteManager()
    site_manager.registerHandler(note, (ITaskSucceeded,))
    yield records
    site_manager.unregisterHandler(note, (ITaskSucceeded,))


@pytest.fixture
def make_ticker(database, standing_clock, monkeypatch):
    """Return a function that starts a ticker at a moment. It looks all the time."""
    monkeypatch.setattr(module, "LONGEST", 0.01)
    made = []

    def make_ticker(moment, database=database):
        standing_clock.moment = moment
        ticker = Ticker(database)
        made.append(ticker)
        ticker.start()
        return ticker

    yield make_ticker
    for ticker in made:
        ticker.stop()
    drain()


class TestThread:
    def test_starts_what_is_due(self, register, tick_at, make_ticker, succeeded):
        register()
        tick_at(NOON)
        make_ticker(NOON + HOUR)
        succeeded.get(timeout=TIMEOUT)
        drain()
        assert len(calls.made) == 1

    def test_comes_back_for_the_next_tick(
        self, register, tick_at, make_ticker, succeeded, standing_clock
    ):
        register()
        tick_at(NOON)
        make_ticker(NOON + HOUR)
        succeeded.get(timeout=TIMEOUT)
        standing_clock.moment = NOON + 2 * HOUR
        succeeded.get(timeout=TIMEOUT)

    def test_stops_while_it_waits(self, register, make_ticker):
        register()
        ticker = make_ticker(NOON)
        assert len(ticker_threads()) == 1
        ticker.stop()
        assert ticker_threads() == []

    def test_goes_on_after_an_error(
        self, register, tick_at, make_ticker, succeeded, database, caplog
    ):
        register()
        tick_at(NOON)
        make_ticker(NOON + HOUR, database=Failing(database))
        succeeded.get(timeout=TIMEOUT)
        assert "recurring tasks are not looked for, for now: " in caplog.text

    def test_tells_all_of_an_error_that_comes_again(
        self, register, tick_at, make_ticker, database, caplog
    ):
        register()
        tick_at(NOON)
        failing = Failing(database)
        ticker = make_ticker(NOON, database=failing)
        assert failing.has_failed_again.wait(TIMEOUT)
        ticker.stop()
        told = [r for r in caplog.records if "for now: OSError" in r.getMessage()]
        assert [line.levelname for line in told] == ["ERROR", "ERROR"]

    def test_ends_when_the_process_is_about_to_stop(
        self, register, tick_at, make_ticker, stopping_scheduler
    ):
        register()
        tick_at(NOON)
        with stopping_scheduler():
            make_ticker(NOON + HOUR)
            for thread in ticker_threads():
                thread.join(TIMEOUT)
        assert ticker_threads() == []
        assert len(tick_at(NOON + HOUR)) == 1

    def test_nobody_waits_for_a_database_that_is_away(
        self, register, tick_at, make_ticker, database, monkeypatch
    ):
        """And when it is back, nothing is started any more."""
        monkeypatch.setattr(module, "JOIN", 0.01)
        register()
        tick_at(NOON)
        away = Away(database)
        ticker = make_ticker(NOON + HOUR, database=away)
        assert away.asked.wait(TIMEOUT)
        ticker.stop()
        (thread,) = ticker_threads()
        assert thread.daemon
        away.back.set()
        thread.join(TIMEOUT)
        drain()
        assert calls.made == []
        assert len(tick_at(NOON + HOUR)) == 1


class TestStart:
    """When the process begins to serve, and only if there is something to do."""

    @pytest.fixture
    def event(self, database):
        """Serving begins with an executor that has no tasks."""
        executor = Executor(Settings())
        yield ServingBegins(database, executor)
        executor.drain(Deadline(TIMEOUT))

    def test_without_a_registration_there_is_no_thread(self, event):
        start_ticker(event)
        assert ticker_threads() == []

    def test_with_one_there_is(self, register, event, caplog):
        caplog.set_level("INFO", "collective.background.recurring")
        register(schedule="0 0 1 1 *")
        start_ticker(event)
        assert len(ticker_threads()) == 1
        assert "recurring task 'tidy': 0 0 1 1 *, as test_user_1_" in caplog.messages

    def test_in_the_database_of_the_event(self, register, database):
        away = Away(database)
        executor = Executor(Settings())
        register()
        start_ticker(ServingBegins(away, executor))
        assert away.asked.wait(TIMEOUT)
        away.back.set()
        executor.drain(Deadline(TIMEOUT))

    def test_draining_stops_it_first(self, register, event):
        register(schedule="0 0 1 1 *")
        start_ticker(event)
        found = []
        event.executor.before_drain(lambda: found.extend(ticker_threads()))
        event.executor.drain(Deadline(TIMEOUT))
        assert found == []
