"""Whatever a task in the database raises or returns, it ends there, too."""

from another import until
from collective.background import current_task
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database import looking
from collective.background.database import outbox
from collective.background.database.body import Body
from collective.background.database.instances import instances_for
from collective.background.database.reports import Report
from collective.background.exceptions import ReplacedError
from collective.background.exceptions import Retry
from collective.background.executing.executor import process_executor
from endings import accept_text
from endings import end_with
from endings import EXCEPTIONS
from endings import refuse_commit
from endings import REPLACED
from endings import return_local
from endings import upload
from gated_tasks import gated
from gated_tasks import note
from helpers import finished
from helpers import TIMEOUT

import pytest
import transaction


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception(scheduler, folder, name):
    record = finished(schedule(end_with, name, folder))
    assert record.state == "failed"
    _, exception = scheduler.get_result(record.id)
    assert (type(exception) is ReplacedError) == (name in REPLACED)
    assert folder.title == "A folder"


def test_a_commit_that_is_refused(scheduler, folder):
    record = finished(schedule(refuse_commit, folder))
    assert (record.state, record.error.type) == ("failed", "_pickle.PicklingError")
    assert folder.title == "A folder"


def test_a_result_that_only_this_process_could_load(scheduler, folder):
    """It fails inside of the transaction of the work."""
    record = finished(schedule(return_local, folder))
    assert record.state == "failed"
    assert record.error.type == "collective.background.exceptions.NotPortable"
    assert "LocalError" in record.error.message
    assert folder.title == "A folder"


def test_a_batch_of_files(scheduler):
    items = ["a text", upload("a.csv", b"name"), 7]
    record = finished(schedule_batch(accept_text, items))
    assert record.state == "succeeded"
    transaction.begin()
    result, _ = scheduler.get_result(record.id)
    assert [failure.item for failure in result.failures] == ["a.csv", 7]


class TestAnEndThatCannotBeWritten:
    """Whatever the reason: something in it that the database does not take."""

    @pytest.fixture(autouse=True)
    def hard_title(self, monkeypatch):
        """What a task with this title has told cannot be written."""
        tell = Report.tell

        def tell_or_not(self, task, told):
            if task.options.title == "Hard":
                raise ValueError("simulated")
            return tell(self, task, told)

        monkeypatch.setattr(Report, "tell", tell_or_not)

    def test_is_written_as_a_bare_failure(self, scheduler):
        record = finished(using(title="Hard").schedule(tell, fails=True))
        assert (record.state, record.attempts) == ("failed", 1)
        assert record.started is not None
        assert record.messages == ()
        assert (
            "could not be written; it was: builtins.ValueError: it went"
            in record.error.message
        )
        assert type(scheduler.get_result(record.id)[1]) is ReplacedError

    def test_does_not_hold_up_others(self, scheduler):
        hard = [using(title="Hard").schedule(tell, fails=True) for _ in range(2)]
        good = [schedule(tell) for _ in range(3)]
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert {scheduler.record(task_id).state for task_id in hard} == {"failed"}
        assert {scheduler.record(task_id).state for task_id in good} == {"succeeded"}

    def test_stays_a_success_if_its_work_is_committed(self, scheduler):
        record = finished(using(title="Hard").schedule(tell))
        assert (record.state, record.attempts) == ("succeeded", 1)
        assert scheduler.get_result(record.id) == (None, None)

    def test_is_written_at_the_end_of_the_process_as_well(self, scheduler, gates):
        hard = using(title="Hard").schedule(tell_when_open, fails=True)
        good = schedule(tell_when_open, fails=False)
        transaction.commit()
        until(lambda: outbox.feeder_of(scheduler))  # it has to be found first
        until(lambda: len(outbox.feeder_of(scheduler).held.running()) == 2)
        gates.opened.set()
        scheduler.drain(TIMEOUT)
        transaction.begin()
        assert scheduler.record(hard).state == "failed"
        assert scheduler.record(good).state == "succeeded"


class TestAnEndThatCannotEvenBeWrittenBare:
    @pytest.fixture
    def missing(self, scheduler, monkeypatch):
        """A task whose callbacks cannot be loaded: its id, and each try to do it.

        ``monkeypatch.undo()`` finds them again.
        """
        tried = []

        def callbacks(self, state):
            tried.append(state)
            raise OSError("simulated: the blob is missing")

        monkeypatch.setattr(Body, "callbacks", callbacks)
        monkeypatch.setattr(looking, "STUCK", 0.1)
        task_id = using(on_success=note).schedule(len, "x")
        transaction.commit()
        until(lambda: tried)
        return task_id, tried

    def test_holds_up_nothing_and_is_tried_again(self, scheduler, missing, monkeypatch):
        task_id, tried = missing
        assert finished(schedule(len, "y")).state == "succeeded"
        before = len(tried)
        until(lambda: len(tried) > before)
        monkeypatch.undo()
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert scheduler.count() == 3

    def test_is_left_to_others_at_the_end_of_the_process(
        self, scheduler, missing, monkeypatch
    ):
        """They see in the database what was committed, and who had it."""
        task_id, _ = missing
        monkeypatch.setattr(looking, "STUCK", 600.0)
        scheduler.drain(TIMEOUT)
        transaction.begin()
        assert scheduler.shards.find(task_id).is_reserved
        assert process_executor().instance in instances_for(scheduler)


def test_a_retry_that_no_calendar_knows(scheduler):
    task_id = schedule(try_again_in_some_million_years)
    transaction.commit()
    until(lambda: scheduler.record(task_id).state == "retrying")
    assert scheduler.cancel(task_id).state == "cancelled"


def try_again_in_some_million_years():
    raise Retry(delay=1e14)


def tell(fails=False):
    current_task().message("told")
    if fails:
        raise ValueError("it went wrong")


def tell_when_open(fails):
    gated()
    tell(fails)
