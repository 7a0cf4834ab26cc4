"""The common clock of a database: what ids of transactions tell about the time."""

from collective.background.executing import clock as module
from collective.background.executing.clock import Clock
from collective.background.executing.clock import clock_of
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from pathlib import Path
from persistent.mapping import PersistentMapping
from processes import free_port
from processes import Process
from time import monotonic
from time import time
from transaction import TransactionManager
from weakref import ref
from ZEO import ClientStorage
from ZODB import DB
from ZODB.FileStorage import FileStorage

import gc
import pytest
import re
import sys


SERVER = Path(__file__).parent / "zeo_server.py"
TEN_MINUTES = 600


def close_to(seconds):
    """A commit takes less than five seconds, on the busiest machine."""
    return pytest.approx(seconds, abs=5)


def seconds_in(line):
    """Return how many seconds a line of the log tells."""
    return int(re.search(r"(\d+) seconds", line)[1])


class Machine:
    """What the package takes for the clocks of this machine."""

    ahead = 0.0  # seconds
    ran = 0.0  # seconds for which nobody has waited

    def time(self):
        return time() + self.ahead + self.ran

    def monotonic(self):
        return monotonic() + self.ran


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(module, "time", machine.time)
    monkeypatch.setattr(module, "monotonic", machine.monotonic)
    return machine


@pytest.fixture
def commit(machine):
    """Return a function that commits to a database, and returns what to note of it."""

    def commit(database):
        manager = TransactionManager()
        with closing(database.open(manager)) as connection:
            written = PersistentMapping()
            connection.add(written)  # which conflicts with nobody
            before = machine.time()
            manager.commit()
            return written._p_serial, before, machine.time()

    return commit


@pytest.fixture
def database(tmp_path):
    with closing(DB(FileStorage(str(tmp_path / "Data.fs")))) as database:
        yield database


@pytest.fixture
def lines(caplog):
    """Return a function that returns what was logged since it was called last."""
    caplog.set_level("INFO", module.__name__)

    def lines():
        texts = [
            f"{record.levelname}: {record.getMessage()}"
            for record in caplog.records
            if record.name == module.__name__
        ]
        caplog.clear()
        return texts

    return lines


class TestStorageOfThisProcess:
    """A FileStorage makes ids by the same clock."""

    def test_has_the_clock_of_this_machine(self, database, commit, lines):
        clock = Clock()
        assert not clock.is_measured
        before = datetime.now(UTC)
        assert before <= clock.now() <= datetime.now(UTC)
        clock.note(*commit(database))
        assert clock.is_measured
        assert clock.offset == pytest.approx(0, abs=0.001)
        assert lines() == []

    def test_ids_that_follow_each_other_closely_change_nothing(self, database, commit):
        clock = Clock()
        for _ in range(20):
            clock.note(*commit(database))
        assert clock.offset == pytest.approx(0, abs=0.001)

    def test_a_commit_that_took_long_changes_nothing(self, database, commit):
        clock = Clock()
        tid, before, after = commit(database)
        clock.note(tid, before - 40, after)
        assert clock.is_measured
        assert clock.offset == pytest.approx(0, abs=0.001)


class TestThisMachineIsWrong:
    """Its clock is fast by ten minutes, and that of the database is right."""

    @pytest.fixture(autouse=True)
    def fast(self, machine):
        machine.ahead = TEN_MINUTES

    def test_one_commit_is_enough(self, database, commit):
        clock = Clock()
        clock.note(*commit(database))
        assert clock.is_measured
        assert clock.offset == close_to(-TEN_MINUTES)
        assert clock.now().timestamp() == close_to(time())

    def test_it_is_told_once(self, database, commit, lines):
        clock = Clock()
        for _ in range(3):
            clock.note(*commit(database))
        (line,) = lines()
        seconds = seconds_in(line)
        assert seconds == close_to(TEN_MINUTES)
        assert line == (
            f"WARNING: the clock of this machine is {seconds} seconds ahead of that of "
            "the database's server, which counts for tasks; set both right, best with "
            "NTP"
        )

    def test_once_more_if_it_has_changed_a_lot(self, database, commit, machine, lines):
        clock = Clock()
        for ahead in (600, 620, 640):
            machine.ahead = ahead
            clock.note(*commit(database))
        told = lines()
        assert all("seconds ahead" in line for line in told)
        assert [seconds_in(line) for line in told] == [close_to(600), close_to(640)]

    def test_what_was_measured_is_void_once_it_is_set(
        self, database, commit, machine, lines
    ):
        """Whoever does so has set it right."""
        clock = Clock()
        clock.note(*commit(database))
        machine.ahead = 0
        assert not clock.is_measured
        assert clock.offset == 0
        lines()
        clock.note(*commit(database))
        assert clock.is_measured
        assert clock.offset == pytest.approx(0, abs=0.001)
        assert lines() == [
            "INFO: the clock of this machine is that of the database again"
        ]

    def test_a_measurement_counts_for_an_hour(self, database, commit, machine):
        clock = Clock()
        clock.note(*commit(database))
        machine.ran = 3590
        assert clock.is_measured
        machine.ran = 3610
        assert not clock.is_measured
        assert clock.offset == close_to(-TEN_MINUTES)

    def test_the_latest_transaction_counts(self, database, commit, machine):
        """Another thread may be slower to tell of an earlier one."""
        clock = Clock()
        machine.ahead = 60
        earlier = commit(database)
        machine.ahead = TEN_MINUTES
        clock.note(*commit(database))
        clock.note(*earlier)
        assert clock.offset == close_to(-TEN_MINUTES)

    def test_threads_can_note_at_once(self, database, commit):
        clock = Clock()

        def note():
            for _ in range(10):
                clock.note(*commit(database))

        with ThreadPoolExecutor() as threads:
            for noted in [threads.submit(note) for _ in range(4)]:
                noted.result()
        assert clock.offset == close_to(-TEN_MINUTES)


class TestServer:
    """A server of ZEO with a clock of its own."""

    @pytest.fixture
    def serve(self, tmp_path):
        """Return a function that starts it (again), and returns a client.

        ``ahead``: of the right time, in seconds.
        """
        port = free_port()
        configuration = tmp_path / "zeo.conf"
        configuration.write_text(
            f"""
            <zeo>
              address 127.0.0.1:{port}
            </zeo>
            <filestorage 1>
              path {tmp_path}/Data.fs
            </filestorage>
            """
        )
        running = []

        def stop():
            while running:
                running.pop()()

        def serve(ahead):
            stop()
            server = Process(
                "ZEO", sys.executable, SERVER, str(ahead), "-C", configuration
            )
            running.append(server.kill)
            server.expect("listening on")
            database = DB(ClientStorage.ClientStorage(("127.0.0.1", port)))
            running.append(database.close)
            return database

        yield serve
        stop()

    def test_behind_this_machine(self, serve, commit):
        clock = Clock()
        clock.note(*commit(serve(-TEN_MINUTES)))
        assert clock.is_measured
        assert clock.offset == close_to(-TEN_MINUTES)
        assert clock.now().timestamp() == close_to(time() - TEN_MINUTES)

    def test_ahead_of_this_machine(self, serve, commit, lines):
        """Two commits show that its ids move on with the time."""
        clock = Clock()
        database = serve(TEN_MINUTES)
        clock.note(*commit(database))
        assert not clock.is_measured
        assert clock.offset == 0
        clock.note(*commit(database))
        assert clock.is_measured
        assert clock.offset == close_to(TEN_MINUTES)
        (line,) = lines()
        assert "seconds behind that of the database's server" in line
        assert seconds_in(line) == close_to(TEN_MINUTES)

    def test_that_was_set_back(self, serve, commit, lines):
        """Ids are never earlier than those before, so they stand still."""
        clock = Clock()
        database = serve(TEN_MINUTES)
        for _ in range(2):
            clock.note(*commit(database))
        lines()
        database = serve(0)
        for _ in range(3):
            clock.note(*commit(database))
            assert clock.is_measured
            assert clock.offset == 0
        (line,) = lines()
        assert "was set back, and the ids of its transactions stand still" in line
        # As if ten minutes had passed.
        clock.note(*commit(serve(TEN_MINUTES + 60)))
        assert clock.offset == close_to(TEN_MINUTES + 60)

    def test_that_was_set_back_before_we_were_there(self, serve, commit, lines):
        commit(serve(TEN_MINUTES))
        clock = Clock()
        database = serve(0)
        clock.note(*commit(database))
        clock.note(*commit(database))
        assert clock.is_measured
        assert clock.offset == 0
        assert len(lines()) == 1


class TestSecondsUntil:
    def test_a_moment_to_come(self):
        clock = Clock()
        left = clock.seconds_until(clock.now() + timedelta(minutes=1))
        assert left == close_to(60)

    def test_a_moment_that_is_past(self):
        clock = Clock()
        assert clock.seconds_until(clock.now()) == 0.0


class TestClockOf:
    def test_a_database_has_one(self, database):
        with closing(DB(None)) as other:
            assert clock_of(database) is clock_of(database)
            assert clock_of(database) is not clock_of(other)

    def test_it_goes_with_the_database(self):
        database = DB(None)
        clock = ref(clock_of(database))
        database.close()
        del database
        gc.collect()
        assert clock() is None
