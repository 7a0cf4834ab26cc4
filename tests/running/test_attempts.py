"""An attempt is one transaction in one environment; what ends it, and how."""

from Acquisition import aq_base
from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.exceptions import ReplacedError
from collective.background.model.messages import TEXT_LENGTH
from collective.background.model.messages import TITLE_LENGTH
from collective.background.running import retrying
from collective.background.testing import drain
from fractions import Fraction
from helpers import failure_of
from helpers import finished
from helpers import result_of
from helpers import TIMEOUT
from lxml import etree
from plone import api
from plone.app.testing import TEST_USER_ID
from threading import Barrier
from threading import Lock
from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError
from ZODB.POSException import ReadConflictError
from zope.globalrequest import getRequest
from zope.i18nmessageid import MessageFactory

import logging
import pytest
import transaction


logger = logging.getLogger("an.add-on")


class Later(TransientError):
    """What a database might raise that is busy."""


class Mute(Exception):
    """An exception whose text cannot be had."""

    def __str__(self):
        raise RuntimeError("no text")


class Secretive(Exception):
    """An exception that cannot be formatted, not even by Python."""

    @property
    def __notes__(self):
        raise RuntimeError("no notes")


class Needy(Exception):
    """An exception that can be pickled, but not be loaded again."""

    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code


@pytest.fixture
def no_delay(monkeypatch):
    """Begin the next attempt at once."""
    monkeypatch.setattr(retrying, "uniform", lambda low, high: 0)


def rename(content, title):
    content.title = title


def title_of(content):
    """Return the title as it is committed."""
    transaction.begin()
    return content.title


@pytest.mark.usefixtures("no_delay")
class TestConflicts:
    @pytest.mark.parametrize("error", [ConflictError, ReadConflictError, Later])
    def test_lead_to_a_new_attempt_in_a_fresh_environment(self, folder, error):
        environments = []

        def work(folder):
            environments.append((getRequest(), aq_base(api.portal.get()), folder.title))
            folder.title = "changed by the attempt"
            if len(environments) == 1:
                raise error

        record = finished(schedule(work, folder))
        assert record.state == "succeeded"
        assert record.attempts == 2
        assert record.error is None
        first, second = environments
        assert first[0] is not second[0]
        assert first[2] == second[2] == "A folder"
        assert title_of(folder) == "changed by the attempt"

    def test_real_ones_leave_both_effects(self, folder):
        """Both read the same value; the one that commits later begins anew."""
        together = Barrier(2)
        met = set()

        def increment(folder):
            value = getattr(folder, "counter", 0)
            task_id = current_task().id
            if task_id not in met:
                met.add(task_id)
                together.wait(TIMEOUT)
            folder.counter = value + 1

        ids = [schedule(increment, folder) for _ in range(2)]
        transaction.commit()
        get_scheduler().wait_all(TIMEOUT)
        records = [get_scheduler().record(task_id) for task_id in ids]
        assert [record.state for record in records] == ["succeeded"] * 2
        assert sorted(record.attempts for record in records) == [1, 2]
        transaction.begin()
        assert folder.counter == 2

    def test_nothing_of_a_conflicting_attempt_is_scheduled(self, functional):
        attempts, inner = [], []

        def work():
            attempts.append(1)
            schedule(lambda: inner.append(len(attempts)))
            if len(attempts) < 3:
                raise ConflictError

        finished(schedule(work))
        get_scheduler().wait_all(TIMEOUT)
        assert inner == [3]


class TestOtherExceptions:
    def test_abort_and_fail(self, folder):
        def work(folder):
            folder.title = "not to be seen"
            raise ValueError("it went wrong")

        record, _ = failure_of(schedule(work, folder))
        assert record.attempts == 1
        assert record.error.type == "builtins.ValueError"
        assert record.error.message == "it went wrong"
        assert 'raise ValueError("it went wrong")' in record.error.traceback
        assert title_of(folder) == "A folder"

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
    def test_that_are_no_exceptions_are_outcomes_too(self, folder, error):
        def work(folder):
            folder.title = "not to be seen"
            raise error

        record, _ = failure_of(schedule(work, folder))
        assert record.error.type == f"builtins.{error.__name__}"
        assert title_of(folder) == "A folder"
        assert finished(schedule(int)).state == "succeeded"

    def test_without_a_text(self, functional):
        def work():
            raise Mute

        record, _ = failure_of(schedule(work))
        assert record.error.type.endswith(".Mute")
        assert record.error.message == "(its text cannot be had: RuntimeError)"
        assert "in work" in record.error.traceback

    def test_without_a_traceback_that_can_be_had(self, functional):
        """Logging fails, too, but the record does not stay "running"."""

        def work():
            raise Secretive("no")

        record, _ = failure_of(schedule(work))
        text = "(its traceback cannot be had: RuntimeError)"
        assert record.error.traceback == text

    def test_that_cannot_be_pickled_are_replaced(self, functional):
        def work():
            error = ValueError("with a lock")
            error.lock = Lock()
            raise error

        record = finished(schedule(work))
        assert record.error.type == "builtins.ValueError"
        _, exception = get_scheduler().get_result(record.id)
        assert type(exception) is ReplacedError
        assert str(exception) == "builtins.ValueError: with a lock"

    def test_that_cannot_be_loaded_are_replaced(self, functional):
        def work():
            raise Needy(7, "a reason")

        record = finished(schedule(work))
        _, exception = get_scheduler().get_result(record.id)
        assert type(exception) is ReplacedError
        assert str(exception) == f"{record.error.type}: a reason"

    def test_that_refer_to_content_leave_it_behind(self, folder):
        def work(folder):
            raise LookupError(folder)

        record = finished(schedule(work, folder))
        _, exception = get_scheduler().get_result(record.id)
        assert type(exception) is ReplacedError
        assert record.error.type == "builtins.LookupError"

    def test_long_texts_are_cut(self, functional):
        def work():
            raise ValueError("x" * 1_000_000)

        record, _ = failure_of(schedule(work))
        assert set(record.error.message) == {"x", "…"}
        assert len(record.error.message) < 10_000
        assert len(record.error.traceback) < 100_000


class TestResults:
    def test_that_cannot_leave_the_task_fail_it(self, folder):
        """Before anything is committed."""

        def work(folder):
            folder.title = "not to be seen"
            return (number for number in range(3))

        record, _ = failure_of(schedule(work, folder))
        assert record.error.type.endswith("NotPortable")
        assert "the result, a generator, cannot leave the task" in record.error.message
        assert title_of(folder) == "A folder"

    def test_content_is_found_again_by_the_reader(self, folder):
        result = result_of(schedule(lambda folder: [folder], folder))
        assert [aq_base(obj) for obj in result] == [aq_base(folder)]

    def test_none_is_a_result(self, functional):
        record = finished(schedule(lambda: None))
        assert record.has_result
        assert get_scheduler().get_result(record.id) == (None, None)


class TestTransactions:
    def test_a_doomed_one_fails(self, folder):
        def work(folder):
            folder.title = "not to be seen"
            transaction.doom()

        record, _ = failure_of(schedule(work, folder))
        assert record.error.type.endswith("DoomedTransaction")
        assert title_of(folder) == "A folder"

    def test_a_refused_one_fails(self, folder):
        def work(folder):
            folder.title = "not to be seen"
            transaction.get().addBeforeCommitHook(int, ("not a number",))

        record, _ = failure_of(schedule(work, folder))
        assert record.error.type == "builtins.ValueError"
        assert title_of(folder) == "A folder"

    def test_a_task_may_commit_by_itself(self, folder):
        def work(folder):
            folder.title = "committed at once"
            transaction.commit()
            folder.description = "committed at the end"

        assert finished(schedule(work, folder)).state == "succeeded"
        assert title_of(folder) == "committed at once"
        assert folder.description == "committed at the end"

    def test_what_it_has_committed_by_itself_stays_when_it_fails(self, folder):
        def work(folder):
            folder.title = "committed at once"
            transaction.commit()
            folder.description = "not to be seen"
            raise ValueError

        failure_of(schedule(work, folder))
        assert title_of(folder) == "committed at once"
        assert folder.description == ""

    def test_a_task_may_abort_by_itself(self, folder):
        def work(folder):
            folder.title = "not to be seen"
            transaction.abort()
            folder.description = "committed at the end"

        assert finished(schedule(work, folder)).state == "succeeded"
        assert title_of(folder) == "A folder"
        assert folder.description == "committed at the end"

    def test_the_undo_log_names_user_and_title(self, folder):
        finished(using(title="Tidy up").schedule(rename, folder, "Tidy"))
        (entry,) = folder._p_jar.db().history(folder._p_oid)
        assert entry["description"] == "Tidy up"
        assert entry["user_name"] == f"plone {TEST_USER_ID}"

    def test_a_title_that_is_translated_has_its_values_there(self, folder, caplog):
        title = MessageFactory("an.add-on")("Row ${n}", mapping={"n": 7})
        with caplog.at_level(logging.INFO):
            record = finished(using(title=title).schedule(rename, folder, "Row"))
            drain()  # it is logged when the task has ended
        assert record.title.mapping == {"n": 7}
        (entry,) = folder._p_jar.db().history(folder._p_oid)
        assert entry["description"] == "Row 7"
        assert "'Row 7'" in caplog.text

    def test_without_a_title_it_names_the_callable(self, folder):
        finished(schedule(rename, folder, "Renamed"))
        (entry,) = folder._p_jar.db().history(folder._p_oid)
        assert entry["description"] == f"{__name__}.rename"


class TestCurrentTask:
    def test_outside_of_a_task_there_is_none(self, functional):
        finished(schedule(int))
        assert current_task() is None

    def test_inside_it_knows_its_id(self, functional):
        task_id = schedule(lambda: current_task().id)
        assert result_of(task_id) == task_id

    def test_inside_it_knows_its_title_and_may_have_a_better_one(self, functional):
        def work():
            before = current_task().title
            current_task().title = "Import of 7 rows"
            return before

        task_id = using(title="Import").schedule(work)
        assert finished(task_id).title == "Import of 7 rows"
        assert result_of(task_id) == "Import"

    @pytest.mark.parametrize("title", ["", None, 7])
    def test_a_title_is_a_text(self, functional, title):
        def work():
            current_task().title = title

        assert finished(schedule(work)).error.type.endswith("BadOption")

    def test_progress_is_seen_while_it_runs(self, functional, gate):
        def work():
            current_task().progress(3, 10, "the third")
            gate.task()

        task_id = schedule(work)
        transaction.commit()
        gate.wait()
        progress = get_scheduler().record(task_id).progress
        assert (progress.done, progress.total, progress.message) == (3, 10, "the third")

    def test_progress_keeps_total_and_message(self, functional):
        def work():
            current_task().progress(1, 10, "a message")
            current_task().progress(2)

        progress = finished(schedule(work)).progress
        assert (progress.done, progress.total, progress.message) == (2, 10, "a message")

    @pytest.mark.parametrize(
        ("items", "total", "expected"),
        [
            ([7, 8, 9], None, (3, 3)),
            (iter([7, 8, 9]), None, (3, None)),
            (iter([7, 8, 9]), 5, (3, 5)),
            ([], None, (0, 0)),
        ],
        ids=["a list", "an iterator", "with a total", "nothing"],
    )
    def test_track_counts_what_it_yields(self, functional, items, total, expected):
        def work():
            return list(current_task().track(items, total))

        record = finished(schedule(work))
        assert (record.progress.done, record.progress.total) == expected
        result, _ = get_scheduler().get_result(record.id)
        assert result == [7, 8, 9][: expected[0]]

    def test_messages_are_kept_with_the_record(self, functional):
        def work():
            current_task().message("three rows were skipped", "warning")
            current_task().message("done")

        record = finished(schedule(work))
        found = [(message.text, message.type) for message in record.messages]
        assert found == [("three rows were skipped", "warning"), ("done", "info")]

    def test_messages_can_be_translated_for_whoever_reads_them(self, functional):
        text = MessageFactory("an.add-on")("${n} rows", mapping={"n": 7})

        def work():
            current_task().progress(1, message=text)
            current_task().message(text)

        record = finished(schedule(work))
        for found in (record.messages[0].text, record.progress.message):
            assert (found, found.domain, found.mapping) == (text, "an.add-on", {"n": 7})

    def test_so_are_those_that_a_visitor_would_have_seen(self, functional):
        def work():
            api.portal.show_message("saved", getRequest(), "info")

        record = finished(schedule(work))
        assert [(m.text, m.type) for m in record.messages] == [("saved", "info")]

    def test_of_a_type_that_is_not_known_they_are_plain_ones(self, functional):
        def work():
            api.portal.show_message("saved", getRequest(), "lovely")

        record = finished(schedule(work))
        assert [(m.text, m.type) for m in record.messages] == [("saved", "info")]

    def test_what_it_tells_is_plain_and_bounded(self, functional):
        odd = etree.XML("<a>b</a>").xpath("string()")

        def work():
            task = current_task()
            task.title = f"Two\nlines \udcff {'x' * 1_000_000}"
            task.progress(Fraction(1, 2), True, odd)
            task.message("\udcff" * 1_000_000)
            api.portal.show_message("\udcff" * 1000, getRequest(), "info")

        record = finished(schedule(work))
        assert record.title.startswith("Two lines \\udcff x")
        assert len(record.title) <= TITLE_LENGTH
        progress = record.progress
        assert (progress.done, progress.total, progress.message) == (0.5, 1, "b")
        assert type(progress.message) is str
        for message in record.messages:
            assert message.text.startswith("\\udcff")
            assert len(message.text) <= TEXT_LENGTH

    def test_the_newest_messages_are_kept(self, functional):
        def work():
            for number in range(1000):
                current_task().message(number)

        texts = [message.text for message in finished(schedule(work)).messages]
        assert 0 < len(texts) < 1000
        assert texts == [str(number) for number in range(1000)][-len(texts) :]

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            (("3",), "done"),
            ((None,), "done"),
            ((float("nan"),), "done"),
            ((1, float("inf")), "total"),
            ((10**30,), "done"),
            ((1, "all"), "total"),
        ],
    )
    def test_progress_takes_numbers(self, functional, given, name):
        record, _ = failure_of(schedule(lambda: current_task().progress(*given)))
        assert record.error.type == f"{BadOption.__module__}.BadOption"
        assert record.error.message.startswith(f"{name} is {given[-1]!r}; it must be")

    def test_an_unknown_type_of_message(self, functional):
        record, _ = failure_of(schedule(lambda: current_task().message("x", "loud")))
        assert record.error.type == f"{BadOption.__module__}.BadOption"
        assert "'loud'; it must be one of info, warning, error" in record.error.message


class TestLog:
    def test_what_a_task_logs_is_kept_with_it(self, functional):
        record = finished(schedule(lambda: logger.warning("row %s", 7)))
        assert record.log == ("WARNING an.add-on row 7",)

    def test_each_is_one_line(self, functional):
        record = finished(schedule(logger.warning, "one\nERROR forged \udcff"))
        assert record.log == ("WARNING an.add-on one ERROR forged \\udcff",)

    def test_not_what_others_log_meanwhile(self, functional, gate):
        task_id = schedule(gate.task)
        transaction.commit()
        gate.wait()
        logger.warning("of a visitor")
        gate.open()
        assert get_scheduler().wait(task_id, TIMEOUT).log == ()

    def test_the_last_lines_are_kept(self, functional):
        def work():
            for number in range(1000):
                logger.warning("%s", number)

        log = finished(schedule(work)).log
        assert 0 < len(log) < 1000
        assert log[-1] == "WARNING an.add-on 999"
        assert log[0] == f"WARNING an.add-on {1000 - len(log)}"

    def test_a_long_line_is_cut(self, functional):
        (line,) = finished(schedule(lambda: logger.warning("x" * 100_000))).log
        assert len(line) < 10_000
