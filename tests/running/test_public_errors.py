"""What the user of a task is told of its error, and what is for managers only."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from collective.background import using
from collective.background.exceptions import BackgroundError
from collective.background.exceptions import ReplacedError
from collective.background.exceptions import TaskCancelled
from collective.background.exceptions import TaskFailed
from collective.background.exceptions import TaskTimedOut
from collective.background.model.messages import _
from collective.background.model.messages import TEXT_LENGTH
from collective.background.model.options import Options
from collective.background.running import outcome
from collective.background.running.retrying import retry_delay
from collective.background.showing.presentation import error_text
from collective.background.showing.visibility import shown
from collective.background.testing import drain
from helpers import failure_of
from helpers import finished
from plone import api
from plone.app.testing import setRoles
from plone.app.testing import TEST_USER_ID
from zope.i18n import translate
from zope.i18nmessageid import Message

import logging
import pickle
import pytest


NO_NAME = Message("Row ${n} has no name", "an.add-on", mapping={"n": 17})
UNKNOWN = "An error has happened ({})."


def fail_for_people(text=NO_NAME):
    raise TaskFailed(text)


def fail(text="geheim"):
    raise ValueError(text)


class RowFailed(TaskFailed):
    """That of an add-on."""


class Careless(TaskFailed):
    """It forgets what it is for."""

    def __init__(self):
        self.args = ()


@pytest.fixture
def as_member(site):
    """Return a function that returns a record as a user without rights sees it."""

    def as_member(record):
        setRoles(api.portal.get(), TEST_USER_ID, ["Member"])
        return shown(record)

    return as_member


def told(record):
    """What is shown of the error of a record."""
    return translate(error_text(record.error))


class TestTaskFailed:
    def test_is_shown_as_it_is(self, tier, as_member):
        record, _result = failure_of(schedule(fail_for_people))
        error = record.error
        assert error.type == "collective.background.exceptions.TaskFailed"
        assert error.message == "Row 17 has no name"
        assert (error.public, error.public.domain) == (NO_NAME, "an.add-on")
        assert told(record) == told(as_member(record)) == "Row 17 has no name"
        _result, exception = get_scheduler().get_result(record.id)
        assert str(exception) == "Row 17 has no name"

    @pytest.mark.parametrize("text", ["plain", 17, KeyError("row"), "\udcff" * 10_000])
    def test_takes_what_is_no_message(self, text):
        error = outcome.describe_error(TaskFailed(text))
        assert type(error.public) is str
        assert len(error.public) <= TEXT_LENGTH

    def test_of_a_view(self, folder, as_member):
        record, _ = failure_of(schedule_view(folder, "@@no-such-view"))
        assert told(as_member(record)) == UNKNOWN.format(record.error.id)

    def test_survives_pickling(self):
        error = pickle.loads(pickle.dumps(RowFailed(NO_NAME)))
        assert (type(error), str(error)) == (RowFailed, "Row 17 has no name")

    def test_is_not_for_the_log(self, functional, caplog):
        """Nothing is wrong with the program."""
        record = finished(schedule(fail_for_people))
        drain()
        assert not [line for line in caplog.records if line.levelno >= logging.ERROR]
        assert "Traceback" not in caplog.text
        assert "Row 17 has no name" in caplog.text
        assert "fail_for_people" in record.error.traceback

    @pytest.mark.parametrize(
        ("error", "retry_on", "is_retried"),
        [
            (TaskFailed("no"), Exception, False),
            (TaskFailed("no"), BackgroundError, False),
            (TaskFailed("no"), TaskFailed, True),
            (RowFailed("no"), (ValueError, RowFailed), True),
            (TaskFailed("no"), RowFailed, False),
            (ValueError("no"), Exception, True),
        ],
    )
    def test_is_tried_again_only_by_its_name(self, error, retry_on, is_retried):
        delay = retry_delay(Options(retries=1, retry_on=retry_on), 0, error)
        assert (delay is not None) == is_retried

    def test_of_a_careless_class(self):
        assert outcome.describe_error(Careless()).public is None


class TestOthers:
    def test_users_see_that_one_has_happened(self, tier, as_member):
        record, _ = failure_of(schedule(fail))
        assert told(record) == "ValueError: geheim"
        seen = as_member(record)
        assert told(seen) == UNKNOWN.format(record.error.id)
        assert "geheim" not in repr(seen)

    def test_its_id_is_in_the_log(self, functional, caplog):
        record = finished(schedule(fail))
        drain()
        lines = [m for m in caplog.messages if record.error.id in m]
        assert len(lines) == 2
        assert all(record.id in line for line in lines)

    def test_it_is_found_by_its_id(self, tier, site):
        records = [finished(schedule(fail)) for _number in range(2)]
        for record in records:
            (found,) = get_scheduler().records(text=record.error.id)
            assert found.id == record.id

    def test_those_of_the_package_tell_what_there_is_to_do(self):
        found = outcome.describe_error(TaskTimedOut("for longer than 5 seconds"))
        assert translate(found.public) == "It took longer than it may."
        assert outcome.describe_error(TaskCancelled("by somebody")).public == ""
        assert outcome.describe_error(ReplacedError("geheim")).public is None


class TestBatches:
    def test_of_items(self, site, as_member):
        record = finished(schedule_batch(fail_or_not, [1, 2, 3]))
        setRoles(api.portal.get(), TEST_USER_ID, ["Member"])
        result, _ = get_scheduler().get_result(record.id)
        assert [f.error.public for f in result.failures] == ["no 2", None]

    def test_in_which_all_have_failed(self, site, as_member):
        record, _ = failure_of(schedule_batch(fail_for_people, ["no 1", "no 2"]))
        assert told(as_member(record)) == "no 1"
        record, _ = failure_of(schedule_batch(fail, ["no 1", "no 2"]))
        assert told(as_member(record)) == "It went wrong for every single item."

    def test_only_the_first_item_is_logged_with_a_traceback(self, functional, caplog):
        finished(schedule_batch(fail, range(150), size=50))
        lines = [r for r in caplog.records if r.getMessage().startswith("item ")]
        assert len(lines) == 100
        assert [bool(line.exc_info) for line in lines] == [True] + [False] * 99
        assert {len(line.getMessage().splitlines()) for line in lines} == {1}
        assert "builtins.ValueError: 99" in lines[-1].getMessage()


def fail_or_not(item):
    if item == 2:
        raise TaskFailed("no 2")
    if item == 3:
        raise ValueError("geheim")


def test_attempts_that_are_repeated_are_no_errors(functional, caplog):
    """Neither in their level nor with a traceback."""
    finished(using(retries=2, backoff=0).schedule(fail))
    drain()
    levels = [line.levelno for line in caplog.records]
    assert levels.count(logging.ERROR) == 1
    assert caplog.text.count("Traceback") == 1


def test_a_predecessor_is_a_reason_for_people(site, as_member):
    first = schedule(fail)
    record = finished(using(after=first).schedule(int))
    assert record.state == "cancelled"
    text = "Another task, which has to succeed before, has not."
    assert told(as_member(record)) == text
    assert translate(_(text)) == text
