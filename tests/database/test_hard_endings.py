"""Whatever a task in the database raises or returns, it ends there, too."""

from collective.background import schedule
from collective.background import schedule_batch
from collective.background.exceptions import TaskFailed
from endings import accept_text
from endings import end_with
from endings import EXCEPTIONS
from endings import refuse_commit
from endings import REPLACED
from endings import return_local
from endings import upload
from helpers import finished

import pytest
import transaction


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception(scheduler, folder, name):
    record = finished(schedule(end_with, name, folder))
    assert record.state == "failed"
    _, exception = scheduler.get_result(record.id)
    assert (type(exception) is TaskFailed) == (name in REPLACED)
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
