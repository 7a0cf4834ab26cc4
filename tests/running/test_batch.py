"""Batches: items in transactions of several, and what becomes of those that fail."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule_batch
from collective.background import using
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.exceptions import BatchFailed
from collective.background.exceptions import NotPortable
from collective.background.interfaces import ITaskSucceeded
from collective.background.running import batch
from collective.background.testing import scheduled
from helpers import failure_of
from helpers import finished
from helpers import result_of
from helpers import TIMEOUT
from plone import api
from sqlalchemy import create_engine
from sqlalchemy import text
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker
from threading import Event
from ZODB.POSException import ConflictError
from zope.component import getGlobalSiteManager
from zope.i18n import translate
from zope.sqlalchemy import register

import pytest
import transaction


class Oops(Exception):
    """An item that fails."""


def append(item, folder, failing=()):
    """Add the item to the folder's description; it may fail after that."""
    folder.description += f"{item} "
    if item in failing:
        raise Oops(f"item {item}")


def create(id, folder, failing=()):
    api.content.create(folder, "Document", id)
    if id in failing:
        raise Oops(id)


def touch(document):
    document.title = "Touched"


Session = scoped_session(sessionmaker())
register(Session, initial_state="changed")  # plain SQL does not tell


def insert(item, folder, failing):
    """Add the item to a table and to the folder; it may fail after that."""
    Session.execute(text("INSERT INTO rows VALUES (:item)"), {"item": item})
    append(item, folder, failing)


def rows():
    return list(Session.scalars(text("SELECT item FROM rows ORDER BY rowid")))


class Spy:
    """Notes what was called, and in which transaction; may wait or conflict once."""

    def __init__(self, conflicting=()):
        self.calls = []
        self.transactions = []
        self.conflicting = set(conflicting)

    def note(self, item):
        self.calls.append(item)
        if transaction.get() not in self.transactions:
            self.transactions.append(transaction.get())
        if item in self.conflicting:
            self.conflicting.remove(item)
            raise ConflictError


@pytest.fixture
def spy():
    return Spy()


@pytest.fixture
def folder(folder):
    folder.description = ""
    transaction.commit()
    return folder


class TestItems:
    @pytest.mark.parametrize("size", [1, 2, 5, 100])
    def test_each_is_called_once_and_in_order(self, folder, size):
        result = result_of(schedule_batch(append, range(5), folder, size=size))
        assert folder.description == "0 1 2 3 4 "
        assert (result.done, result.failures) == (5, ())

    @pytest.mark.parametrize(("size", "chunks"), [(1, 5), (2, 3), (5, 1), (100, 1)])
    def test_some_are_one_transaction(self, site, spy, size, chunks):
        result_of(schedule_batch(lambda item: spy.note(item), range(5), size=size))
        assert len(spy.transactions) == chunks

    def test_20_unless_it_is_said(self, site, spy):
        result_of(schedule_batch(lambda item: spy.note(item), range(41)))
        assert len(spy.transactions) == 3

    def test_none(self, site):
        task_id = schedule_batch(touch, [])
        assert finished(task_id).progress.total == 0
        result, _ = get_scheduler().get_result(task_id)
        assert (result.done, result.failures) == (0, ())

    def test_of_a_generator(self, folder):
        result_of(schedule_batch(append, (letter for letter in "abc"), folder))
        assert folder.description == "a b c "

    def test_arguments_are_passed_on(self, site, spy):
        def note(item, one, *, two):
            spy.note((item, one, two))

        result_of(schedule_batch(note, "ab", 1, two=2))
        assert spy.calls == [("a", 1, 2), ("b", 1, 2)]

    def test_content(self, folder):
        documents = [
            api.content.create(folder, "Document", id, title=id) for id in "abc"
        ]
        result = result_of(schedule_batch(touch, documents, size=2))
        assert result.done == 3
        assert {document.title for document in documents} == {"Touched"}

    def test_content_that_is_renamed_meanwhile(self, folder):
        documents = [api.content.create(folder, "Document", id) for id in "ab"]
        task_id = schedule_batch(touch, documents)
        api.content.rename(documents[0], "renamed")
        assert result_of(task_id).done == 2
        assert folder["renamed"].title == "Touched"

    def test_content_that_is_deleted_meanwhile_is_one_failure(self, folder):
        documents = [
            api.content.create(folder, "Document", id, title=id.upper()) for id in "abc"
        ]
        task_id = schedule_batch(touch, documents)
        api.content.delete(documents[1])
        result = result_of(task_id)
        assert result.done == 2
        (failure,) = result.failures
        assert failure.index == 1
        assert failure.item == "'B' at /plone/folder/b"
        assert failure.error.type == "collective.background.exceptions.ReferenceGone"
        assert folder["a"].title == folder["c"].title == "Touched"

    def test_one_that_cannot_be_carried_is_refused_with_its_index(self, site):
        items = [1, "two", (x for x in "abc")]
        with pytest.raises(NotPortable, match=r"item 2 of .*test_batch\.touch"):
            schedule_batch(touch, items)

    def test_arguments_that_do_not_fit_are_refused(self, site):
        with pytest.raises(BadCall, match="failing"):
            schedule_batch(touch, [1], failing=True)

    @pytest.mark.parametrize("size", [0, -1, 2.5, "2", None, True])
    def test_a_size_that_is_none_is_refused(self, site, size):
        with pytest.raises(BadOption, match="size"):
            schedule_batch(touch, [1], size=size)


class TestProgress:
    def test_after_each_chunk(self, site, spy):
        def note(item):
            spy.note(get_scheduler().record(current_task().id).progress)

        task_id = schedule_batch(note, range(5), size=2)
        record = finished(task_id)
        assert [seen.done for seen in spy.calls] == [0, 0, 2, 2, 4]
        assert {seen.total for seen in spy.calls} == {5}
        assert (record.progress.done, record.progress.total) == (5, 5)

    def test_is_that_of_the_items_whatever_these_report(self, site):
        def report(item):
            current_task().progress(50, 100, f"at {item}")

        progress = finished(schedule_batch(report, range(3), size=2)).progress
        assert (progress.done, progress.total, progress.message) == (3, 3, "at 2")


class TestFailures:
    def test_the_batch_goes_on(self, folder):
        task_id = schedule_batch(append, range(5), folder, {1, 4}, size=3)
        assert finished(task_id).state == "succeeded"
        result, _ = get_scheduler().get_result(task_id)
        assert result.done == 3
        assert [(f.index, f.item) for f in result.failures] == [(1, 1), (4, 4)]

    def test_tell_the_error(self, folder):
        result = result_of(schedule_batch(append, range(2), folder, {1}))
        error = result.failures[0].error
        assert error.type == "test_batch.Oops"
        assert error.message == "item 1"
        assert "in append" in error.traceback

    def test_are_counted_for_the_user(self, folder):
        record = finished(schedule_batch(append, range(5), folder, {1, 4}))
        (message,) = record.messages
        assert message.type == "warning"
        assert translate(message.text) == "2 of 5 items failed."
        assert record.progress.failed == 2

    def test_not_more_than_some_have_their_tracebacks(self, monkeypatch, folder):
        monkeypatch.setattr(batch, "MAX_TRACEBACKS", 2)
        failing = {0, 1, 3, 4}
        result = result_of(schedule_batch(append, range(5), folder, failing, size=2))
        tracebacks = [bool(failure.error.traceback) for failure in result.failures]
        assert tracebacks == [True, True, False, False]
        assert [failure.error.message for failure in result.failures][-1] == "item 4"

    def test_are_undone_while_their_neighbours_stay(self, folder):
        result_of(schedule_batch(append, range(5), folder, {1, 4}, size=3))
        assert folder.description == "0 2 3 "

    def test_are_not_in_the_catalog_either(self, folder):
        result_of(schedule_batch(create, "abc", folder, {"b"}))
        assert folder.objectIds() == ["a", "c"]
        found = api.content.find(folder, portal_type="Document")
        assert sorted(brain.getId for brain in found) == ["a", "c"]

    def test_all_of_them_fail_the_task(self, folder):
        record, result = failure_of(schedule_batch(append, "ab", folder, "ab", size=1))
        assert record.error.type == "collective.background.exceptions.BatchFailed"
        assert record.messages == ()
        assert "all 2 items" in record.error.message
        assert "test_batch.Oops: item a" in record.error.message
        assert record.has_result
        assert [failure.item for failure in result.failures] == ["a", "b"]
        assert result.done == 0
        assert folder.description == ""

    def test_the_exception(self, folder):
        with pytest.raises(BatchFailed):
            result_of(schedule_batch(append, "a", folder, "a"))

    def test_what_is_no_exception_of_an_item_fails_the_batch(self, site, spy):
        def stop(item):
            spy.note(item)
            raise SystemExit(1)

        record, _ = failure_of(schedule_batch(stop, range(3)))
        assert record.error.type == "builtins.SystemExit"
        assert spy.calls == [0]

    def test_an_argument_that_is_gone_fails_the_batch(self, folder):
        document = api.content.create(folder, "Document", "doc")
        task_id = schedule_batch(append, range(3), document)
        api.content.delete(document)
        record, _ = failure_of(task_id)
        assert record.error.type == "collective.background.exceptions.ReferenceGone"


class TestConflicts:
    def test_only_the_chunk_is_repeated(self, site):
        spy = Spy(conflicting=[3])
        result_of(schedule_batch(lambda item: spy.note(item), range(6), size=2))
        assert spy.calls == [0, 1, 2, 3, 2, 3, 4, 5]

    def test_everything_is_there_exactly_once(self, folder):
        spy = Spy(conflicting=[0, 3, 5])

        def conflicting(item, folder):
            append(item, folder)
            spy.note(item)

        result_of(schedule_batch(conflicting, range(6), folder, size=2))
        assert folder.description == "0 1 2 3 4 5 "

    def test_each_chunk_has_attempts_of_its_own(self, site):
        spy = Spy(conflicting=range(6))
        result = result_of(
            schedule_batch(lambda item: spy.note(item), range(6), size=2)
        )
        assert result.done == 6

    def test_without_an_end_fail_the_batch_and_keep_what_is_committed(self, folder):
        def conflicting(item, folder):
            append(item, folder)
            if item == 3:
                raise ConflictError

        record, _ = failure_of(schedule_batch(conflicting, range(6), folder, size=2))
        assert record.error.type == "ZODB.POSException.ConflictError"
        assert record.progress.done == 2
        assert folder.description == "0 1 "

    def test_failures_before_a_conflict_are_noted_once(self, site):
        spy = Spy(conflicting=[1])

        def fail(item):
            spy.note(item)
            if item == 0:
                raise Oops

        result = result_of(schedule_batch(fail, range(3)))
        assert spy.calls == [0, 1, 0, 1, 2]
        assert [failure.index for failure in result.failures] == [0]


class TestWithoutSavepoints:
    """SQLite's data manager has none, so a chunk runs again without what failed."""

    @pytest.fixture(autouse=True)
    def database(self, tmp_path):
        engine = create_engine(f"sqlite:///{tmp_path}/test.db")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE rows (item INTEGER)"))
        Session.configure(bind=engine)
        yield
        Session.remove()
        engine.dispose()

    @pytest.mark.parametrize("failing", [{0, 4}, {1, 5}, {3, 4, 5}, {6}, {0, 1, 2}])
    def test_failures_are_undone_while_their_neighbours_stay(self, folder, failing):
        result = result_of(schedule_batch(insert, range(7), folder, failing, size=3))
        kept = [item for item in range(7) if item not in failing]
        assert {failure.index for failure in result.failures} == failing
        assert rows() == kept
        assert folder.description.split() == [str(item) for item in kept]

    def test_all_of_them_fail_the_task(self, folder):
        _, result = failure_of(schedule_batch(insert, range(3), folder, range(3)))
        assert len(result.failures) == 3
        assert rows() == []


class TestCancelling:
    @pytest.fixture
    def cancelled(self, folder):
        """The id of a batch of three chunks that was cancelled in the second one."""
        reached, cancelled = Event(), Event()

        def wait(item, folder):
            append(item, folder)
            if item == 2 and not cancelled.is_set():
                reached.set()
                assert cancelled.wait(TIMEOUT)

        task_id = schedule_batch(wait, range(6), folder, size=2)
        transaction.commit()
        assert reached.wait(TIMEOUT)
        get_scheduler().cancel(task_id)
        cancelled.set()
        return task_id

    def test_between_chunks_keeps_what_is_committed(self, folder, cancelled):
        record = finished(cancelled)
        assert record.state == "cancelled"
        assert record.progress.done == 4
        assert folder.description == "0 1 2 3 "

    def test_a_retry_goes_on_after_the_last_committed_chunk(self, folder, cancelled):
        finished(cancelled)
        get_scheduler().retry(cancelled)
        assert result_of(cancelled).done == 6
        assert folder.description == "0 1 2 3 4 5 "

    def test_within_a_chunk_undoes_that(self, folder):
        def cancel(item, folder):
            append(item, folder)
            if item == 3:
                get_scheduler().cancel(current_task().id)
                current_task().check_cancelled()

        record = finished(schedule_batch(cancel, range(6), folder, size=2))
        assert record.state == "cancelled"
        assert folder.description == "0 1 "


class TestRetrying:
    def test_keeps_the_failures_of_the_first_run(self, site):
        spy = Spy()

        def stop(item):
            spy.note(item)
            if item == 0:
                raise Oops
            if spy.calls == [0, 1, 2]:
                raise SystemExit(1)

        task_id = schedule_batch(stop, range(4), size=2)
        failure_of(task_id)
        transaction.abort()
        get_scheduler().retry(task_id)
        result = result_of(task_id)
        assert spy.calls == [0, 1, 2, 2, 3]
        assert [failure.index for failure in result.failures] == [0]
        assert result.done == 3

    def test_starts_over_when_all_of_it_failed(self, folder):
        """Nothing was kept of it, and a retry that does nothing is of no use."""
        failing = [True]

        def fail_at_first(item, folder):
            append(item, folder)
            if failing[0]:
                raise Oops

        task_id = schedule_batch(fail_at_first, range(4), folder, size=2)
        failure_of(task_id)
        transaction.abort()
        failing[0] = False
        get_scheduler().retry(task_id)
        result = result_of(task_id)
        assert (result.done, result.failures) == (4, ())
        assert folder.description == "0 1 2 3 "


class TestInline:
    """Few items are done at once, in the transaction of the caller."""

    def test_in_the_callers_transaction(self, folder, spy):
        mine = transaction.get()
        schedule_batch(lambda item: spy.note(item), range(2), inline_below=3)
        assert spy.calls == [0, 1]
        assert spy.transactions == [mine]

    def test_not_with_as_many_items(self, folder, spy):
        task_id = schedule_batch(lambda item: spy.note(item), range(3), inline_below=3)
        assert spy.calls == []
        assert result_of(task_id).done == 3

    def test_the_task_has_succeeded(self, folder):
        task_id = using(title="Few").schedule_batch(
            append, range(2), folder, inline_below=3
        )
        record = get_scheduler().record(task_id)
        assert (record.state, record.title) == ("succeeded", "Few")
        assert (record.progress.done, record.progress.total) == (2, 2)
        assert record.started <= record.finished
        assert record.attempts == 1
        result, exception = get_scheduler().get_result(task_id)
        assert (result.done, result.failures, exception) == (2, (), None)

    def test_is_listed_once_it_is_committed(self, folder):
        task_id = schedule_batch(append, range(2), folder, inline_below=3)
        assert get_scheduler().records() == []
        transaction.commit()
        assert [record.id for record in get_scheduler().records()] == [task_id]
        assert folder.description == "0 1 "

    def test_its_success_is_told_when_it_is_committed(self, folder):
        told = []

        def note(event):
            told.append(event.record.id)

        site_manager = getGlobalSiteManager()
        site_manager.registerHandler(note, (ITaskSucceeded,))
        try:
            schedule_batch(append, [0], folder, inline_below=3)
            transaction.abort()
            task_id = schedule_batch(append, [0], folder, inline_below=3)
            assert told == []
            transaction.commit()
            assert told == [task_id]
        finally:
            site_manager.unregisterHandler(note, (ITaskSucceeded,))

    def test_is_forgotten_after_an_abort(self, folder):
        task_id = schedule_batch(append, range(2), folder, inline_below=3)
        transaction.abort()
        assert get_scheduler().record(task_id) is None
        assert folder.description == ""

    def test_an_exception_goes_to_the_caller_and_nothing_is_recorded(self, folder):
        with scheduled() as records, pytest.raises(Oops):
            schedule_batch(append, range(3), folder, {1}, inline_below=4)
        transaction.commit()
        assert get_scheduler().record(records[0].id) is None
        assert get_scheduler().records() == []

    def test_has_a_current_task_like_any_other(self, folder, spy):
        """So that a function need not know in which way it is called."""

        def tell(item):
            spy.note(current_task().id)
            current_task().message(f"did {item}")

        task_id = schedule_batch(tell, "a", inline_below=2)
        assert current_task() is None
        assert spy.calls == [task_id]
        (message,) = get_scheduler().record(task_id).messages
        assert message.text == "did a"

    def test_what_could_not_be_carried_is_refused_as_well(self, site):
        """Else it would be found out only with more items."""
        with pytest.raises(NotPortable, match="item 0"):
            schedule_batch(touch, [(x for x in "abc")], inline_below=2)

    @pytest.mark.parametrize("number", [-1, 2.5, "2", None, True])
    def test_a_number_that_is_none_is_refused(self, site, number):
        with pytest.raises(BadOption, match="inline_below"):
            schedule_batch(touch, [1], inline_below=number)
