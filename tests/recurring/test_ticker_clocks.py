"""Instances whose clocks are wrong start tasks at the right time all the same.

Here the storage has the right time, and a task is due an hour after it ran last.
"""

from collective.background.executing import clock
from collective.background.executing.clock import Clock
from collective.background.recurring import ticker
from collective.background.recurring.state import get_state
from collective.background.recurring.state import get_states
from collective.background.recurring.ticker import Ticker
from collective.background.testing import drain
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from time import time

import calls
import pytest
import re
import transaction


MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class Instance:
    """A ticker on a machine of its own. ``ahead``: of the right time, a timedelta."""

    def __init__(self, database, ahead, monkeypatch):
        self.ahead = ahead
        self.clock = Clock()
        self._monkeypatch = monkeypatch
        self._ticker = Ticker(database)

    def look(self):
        """Let the ticker look, and its tasks run; return how many there were."""
        before = len(calls.made)
        with self._monkeypatch.context() as patch:
            patch.setattr(ticker, "clock_of", lambda database: self.clock)
            for module in (clock, ticker):
                patch.setattr(module, "time", self._time)
            self._ticker.look()
        drain()
        return len(calls.made) - before

    def _time(self):
        return time() + self.ahead.total_seconds()


@pytest.fixture
def instance(database, monkeypatch):
    """Return a function that starts an instance."""
    return lambda ahead=0 * HOUR: Instance(database, ahead, monkeypatch)


@pytest.fixture
def done(register, site, database):
    """Return a function that returns up to when the ticks of the task are done.

    ``ago``: a timedelta; how long that is to be ago.
    """
    register(schedule=HOUR)

    def done(ago=None):
        transaction.begin()
        now = datetime.now(UTC)
        state = get_state(site, "tidy", now)
        if ago is not None:
            state.done = now - ago
            transaction.commit()
        return state.done

    return done


@pytest.fixture
def warnings(caplog):
    """Return a function that returns the warnings so far."""
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING"
    ]


def is_now(moment):
    return abs(datetime.now(UTC) - moment) < MINUTE


def is_ten_minutes(line, relation):
    """Whether a line tells that; a commit may take some seconds on a busy machine."""
    text = rf"is (\d+) seconds {relation} that of the database's server"
    return int(re.search(text, line)[1]) == pytest.approx(600, abs=5)


class TestFast:
    """By ten minutes."""

    @pytest.fixture
    def fast(self, instance):
        return instance(10 * MINUTE)

    def test_does_nothing_too_early(self, fast, done, warnings):
        before = done(55 * MINUTE)
        assert fast.look() == 0
        assert done() == before
        (line,) = warnings()
        assert is_ten_minutes(line, "ahead of")

    def test_nor_hides_a_tick_from_others(self, fast, instance, done):
        done(61 * MINUTE)
        assert fast.look() == 1
        assert is_now(done())
        assert instance().look() == 0

    def test_what_it_sees_for_the_first_time_begins_now(self, fast, done):
        assert fast.look() == 0
        assert is_now(done())

    def test_also_after_its_clock_was_set_right(self, fast, done):
        done(55 * MINUTE)
        fast.look()
        fast.ahead = 0 * HOUR
        assert fast.look() == 0
        done(61 * MINUTE)
        assert fast.look() == 1
        assert is_now(done())

    def test_also_if_its_clock_was_right_at_first(self, instance, done):
        one = instance()
        done(61 * MINUTE)
        assert one.look() == 1
        one.ahead = 10 * MINUTE
        before = done(55 * MINUTE)
        assert one.look() == 0
        assert done() == before


class TestSlow:
    """By ten minutes."""

    @pytest.fixture
    def slow(self, instance):
        return instance(-10 * MINUTE)

    def test_takes_back_nothing_that_others_have_done(self, slow, done, warnings):
        before = done(0 * MINUTE)
        assert slow.look() == 0
        assert done() == before
        (line,) = warnings()
        assert is_ten_minutes(line, "behind")

    def test_knows_what_time_it_is_once_it_has_started_something(self, slow, done):
        done(75 * MINUTE)
        assert slow.look() == 1
        assert is_now(done())
        done(61 * MINUTE)
        assert slow.look() == 1


class TestUnaware:
    """Older instances did not know what time it is."""

    def test_what_they_did_ahead_of_time_does_not_stop_it(
        self, instance, done, warnings
    ):
        done(-10 * MINUTE)
        assert instance().look() == 0
        assert is_now(done())
        (line,) = warnings()
        assert "the clock was wrong" in line

    def test_a_few_seconds_are_no_matter(self, instance, done, warnings):
        before = done(-MINUTE / 2)
        assert instance().look() == 0
        assert done() == before
        assert warnings() == []


class TestMeasuring:
    def test_nothing_is_written_as_long_as_nothing_is_due(
        self, instance, done, database
    ):
        done(50 * MINUTE)
        before = database.lastTransaction()
        one = instance()
        assert one.look() == 0
        assert database.lastTransaction() == before
        assert not one.clock.is_measured

    def test_starting_a_task_measures_as_well(self, instance, done, site):
        def written():
            states = get_states(site)
            states._p_activate()
            return states._p_serial

        one = instance()
        done(61 * MINUTE)
        assert one.look() == 1
        before = written()
        done(61 * MINUTE)
        assert one.look() == 1
        assert written() == before
