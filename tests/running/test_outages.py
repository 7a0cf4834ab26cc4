"""The storage is away for a while: what was certainly not committed is tried again."""

from collections import Counter
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.exceptions import CommitInDoubt
from collective.background.interfaces import ITaskRetrying
from collective.background.model.outages import is_outage
from collective.background.running import retrying
from collective.background.running.retrying import LONGEST_OUTAGE_DELAY
from collective.background.running.retrying import MAX_OUTAGES
from collective.background.running.retrying import outage_delay
from contextlib import closing
from helpers import failure_of
from helpers import finished
from helpers import result_of
from helpers import Voter
from persistent.mapping import PersistentMapping
from storages import PostgreSQL
from storages import ZEO
from ZEO.Exceptions import ClientDisconnected
from ZODB.config import storageFromString
from ZODB.DB import DB
from ZODB.FileStorage import FileStorage
from ZODB.utils import z64

import logging
import pytest
import sqlite3
import sys
import transaction


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Let no task wait before its next attempt."""
    monkeypatch.setattr(retrying, "uniform", lambda low, high: 0)


def away():
    """What a task does when the storage is away."""
    raise ClientDisconnected("simulated")


class Servers:
    """A database on a server, which may be cut off. ``name``: of a class."""

    def __init__(self, name, folder):
        data = folder / "data"
        (data / "blobstorage").mkdir(parents=True)
        DB(FileStorage(str(data / "Data.fs"))).close()
        (folder / "server").mkdir()
        self._server = {"ZEO": ZEO, "PostgreSQL": PostgreSQL}[name](
            folder / "server", data
        )
        # ZEO's client waits for its server, before it says that this is away.
        section = (
            self._server.section("tests")
            .replace("zeoclient>", "clientstorage>")
            .replace("<clientstorage>", "<clientstorage>\nwait-timeout 1")
        )
        self.db = DB(storageFromString(section))
        self.is_cut = self.was_cut = False

    def cut(self):
        self.is_cut = self.was_cut = True
        if isinstance(self._server, ZEO):
            self._server.close()  # kills it
        else:
            self._server.stop()

    def restore(self):
        if self.is_cut:
            self.is_cut = False
            self._server.start()
            while isinstance(self._server, ZEO) and not self._is_connected():
                pass

    def _is_connected(self):
        try:
            self.db.history(z64)
        except ClientDisconnected:  # it has waited for a second
            return False
        return True

    def close(self):
        self.restore()
        # Not the database: the connections of tasks belong to threads that have ended.
        self.db.storage.close()
        self._server.close()


@pytest.fixture(scope="module", params=["ZEO", "PostgreSQL"])
def servers(request, tmp_path_factory):
    with closing(Servers(request.param, tmp_path_factory.mktemp("server"))) as servers:
        yield servers


@pytest.fixture
def server(servers, scheduler, subscribe, monkeypatch):
    """A server that is restored as soon as a task waits for it."""
    subscribe(ITaskRetrying, lambda event: servers.restore())
    with servers.db.transaction() as connection:
        connection.root()["runs"] = 0
    servers.was_cut = False
    monkeypatch.setattr(sys.modules[__name__], "current", servers)
    yield servers
    servers.restore()


current = None  # the server, for tasks


def count(cut=None):
    """Count the runs of this task in the database.

    ``cut``: a sort key. The first time, the server is cut off once those data managers
    have voted whose sort keys come before that.
    """
    root = current.db.open().root()
    root["runs"] += 1
    if cut is not None and not current.was_cut:
        transaction.get().join(Voter(current.cut, cut))


def count_item(item):
    """For the items of a batch; the server goes while the last one is about to load."""
    if item == "last" and not current.was_cut:
        current.cut()
    count()


def runs():
    """Return how many are committed."""
    current.restore()
    # In a thread where there is nothing to be aborted.
    return result_of(schedule(lambda: current.db.open().root()["runs"]))


class TestRestarts:
    def test_one_that_goes_before_the_votes_is_waited_for(self, server):
        record = finished(schedule(count, cut="!"))
        assert (record.state, record.error) == ("succeeded", None)
        assert record.attempts > 1
        assert runs() == 1

    def test_one_that_goes_after_them_leaves_a_doubt(self, server):
        record, _ = failure_of(using(retries=3).schedule(count, cut="~"))
        assert record.error.type == "collective.background.exceptions.CommitInDoubt"
        assert "look whether it was, and retry" in record.error.message
        assert record.attempts == 1
        assert runs() == 0

    def test_what_may_run_again_does(self, server):
        record = finished(using(rerun=True).schedule(count, cut="~"))
        assert record.state == "succeeded"
        assert record.attempts > 1
        assert runs() == 1

    def test_a_batch_goes_on_at_the_chunk(self, server):
        items = ["first", "second", "last"]
        record = finished(schedule_batch(count_item, items, size=1))
        assert record.state == "succeeded"
        result, _ = get_scheduler().get_result(record.id)
        assert (result.done, result.failures) == (3, ())
        assert runs() == 3


class Cut(Voter):
    """Loses the connection after others have committed. ``errors``: one for each."""

    def __init__(self, errors):
        super().__init__(lambda: None, "~~~")
        self._errors = errors

    def tpc_finish(self, transaction):
        raise self._errors.pop()


class Late:
    """A synchronizer that fails once when all is committed."""

    has_failed = False

    def beforeCompletion(self, transaction):
        """Nothing to do."""

    newTransaction = beforeCompletion

    def afterCompletion(self, transaction):
        if not self.has_failed:
            self.has_failed = True
            raise OSError("too late")


@pytest.fixture
def folder(folder):
    folder.title = ""
    transaction.commit()
    return folder


class TestDoubts:
    """The work is committed, but the storage did not say so."""

    @pytest.fixture(params=[ClientDisconnected, RuntimeError])
    def append(self, request):
        """A task that adds to a title, of which the first commit is in doubt."""
        errors = [request.param("simulated")]

        def append(item, folder):
            folder.title += item
            if item == "b" and errors:
                transaction.get().join(Cut(errors))

        return append

    def test_a_task_is_not_done_twice(self, folder, append):
        record, _ = failure_of(using(retries=3).schedule(append, "b", folder))
        assert record.error.type == "collective.background.exceptions.CommitInDoubt"
        assert "simulated" in record.error.traceback
        _, exception = get_scheduler().get_result(record.id)
        assert type(exception) is CommitInDoubt
        assert folder.title == "b"

    def test_nor_is_a_chunk_of_a_batch(self, folder, append):
        record, _ = failure_of(schedule_batch(append, "abc", folder, size=1))
        assert record.error.type == "collective.background.exceptions.CommitInDoubt"
        assert record.progress.done == 1
        assert folder.title == "ab"

    def test_what_is_raised_when_all_is_committed_comes_too_late(self, folder, caplog):
        late = Late()

        def work(folder):
            folder.title = "done"
            transaction.manager.registerSynch(late)
            return "a result"

        assert result_of(schedule(work, folder)) == "a result"
        assert "is committed, whatever went wrong after that" in caplog.text
        assert folder.title == "done"


def test_those_that_may_run_again_do_when_in_doubt(folder):
    errors = [ClientDisconnected("simulated")]

    def append(item, folder):
        folder.title += item
        if errors:
            transaction.get().join(Cut(errors))

    task_id = using(rerun=True).schedule_batch(append, "abc", folder, size=1)
    assert finished(task_id).state == "succeeded"
    assert folder.title == "aabc"


class Busy(Exception):
    """A failure."""


class TestOutages:
    @pytest.fixture
    def errors(self):
        """What attempts raise, one after the other."""
        return []

    @pytest.fixture
    def work(self, errors):
        def work(item=None):
            if errors:
                raise errors.pop(0)

        return work

    def test_do_not_count_as_failures(self, scheduler, errors, work):
        errors += [*(ClientDisconnected() for _ in range(7)), Busy()]
        errors += [*(ClientDisconnected() for _ in range(MAX_OUTAGES))]
        assert finished(using(retries=1).schedule(work)).state == "succeeded"

    def test_are_no_failures_of_items(self, scheduler):
        """And those of a chunk that was committed meanwhile are forgotten."""
        left = Counter({0: MAX_OUTAGES, 1: MAX_OUTAGES})

        def item(number):
            if left[number]:
                left[number] -= 1
                away()

        result = result_of(schedule_batch(item, range(2), size=1))
        assert (result.done, result.failures) == (2, ())

    def test_without_an_end_fail_the_task(self, scheduler):
        record, _ = failure_of(schedule(away))
        assert record.error.type == "ZEO.Exceptions.ClientDisconnected"
        assert record.attempts == MAX_OUTAGES + 1

    def test_are_one_line_of_the_log(self, scheduler, errors, work, caplog):
        errors.append(ClientDisconnected("two\nlines"))
        with caplog.at_level(logging.INFO):
            finished(schedule(work))
        (line,) = [r for r in caplog.records if "for the database" in r.getMessage()]
        assert (line.levelname, line.exc_info) == ("WARNING", None)
        assert line.getMessage().endswith("ClientDisconnected: two lines")
        assert not [r for r in caplog.records if r.levelname == "ERROR"]

    def test_end_when_the_task_is_cancelled(self, scheduler, subscribe):
        subscribe(ITaskRetrying, lambda event: scheduler.cancel(event.record.id))
        assert finished(schedule(away)).state == "cancelled"

    def test_are_waited_for_longer_and_longer(self, monkeypatch):
        monkeypatch.setattr(retrying, "uniform", lambda low, high: (low, high))
        delays = [outage_delay(number) for number in range(MAX_OUTAGES + 1)]
        assert delays[:3] == [(0.5, 1), (1, 2), (2, 4)]
        assert delays[-2:] == [(LONGEST_OUTAGE_DELAY / 2, LONGEST_OUTAGE_DELAY), None]


def raised(function, *args):
    """Return what is raised by a call."""
    with pytest.raises(Exception) as info:
        function(*args)
    return info.value


def hide(raise_it):
    try:
        raise_it()
    finally:
        raise LookupError("while the transaction was aborted")


def replace(raise_it, cause):
    try:
        raise_it()
    except Exception:
        raise LookupError from cause


class TestErrors:
    def test_of_a_storage_that_is_away(self):
        assert is_outage(raised(away))

    def test_that_hide_one(self):
        assert is_outage(raised(hide, away))
        assert is_outage(raised(replace, away, ClientDisconnected()))

    def test_that_have_another_cause(self):
        assert not is_outage(raised(replace, away, None))
        assert not is_outage(raised(hide, lambda: 1 / 0))

    def test_that_go_round_in_a_circle(self):
        error, other = ValueError(), ValueError()
        error.__cause__, other.__cause__ = other, error
        assert not is_outage(error)

    def test_of_an_add_ons_own_database(self):
        connection = sqlite3.connect(":memory:")
        error = raised(connection.execute, "SELECT * FROM nowhere")
        assert isinstance(error, sqlite3.OperationalError)
        assert not is_outage(error)

    def test_of_an_id_that_was_given_twice(self, server):
        """By a server that was killed meanwhile."""
        manager = transaction.TransactionManager()
        with closing(server.db.open(manager)) as connection:
            connection.root()["new"] = PersistentMapping()
            connection.new_oid = lambda: connection.root()._p_oid
            error = raised(manager.commit)
            manager.abort()
            del connection.new_oid
        assert str(error) == "A different object already has the same oid"
        assert is_outage(error)
        assert not is_outage(ValueError(*error.args))
