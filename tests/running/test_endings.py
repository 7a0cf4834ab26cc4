"""Whatever a task raises or returns, it ends, and what is kept of it is small."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background.exceptions import ReplacedError
from collective.background.running import batch
from collective.background.running import outcome
from endings import accept_text
from endings import end_with
from endings import EXCEPTIONS
from endings import FileOf
from endings import refuse_commit
from endings import REPLACED
from endings import return_local
from endings import upload
from helpers import failure_of
from helpers import finished
from helpers import result_of

import pickle
import pytest
import transaction


class Sized(Exception):
    """A class that can be imported."""


class TestExceptions:
    @pytest.mark.parametrize("name", REPLACED)
    def test_are_replaced_by_what_can_be_kept(self, folder, name):
        record, _ = failure_of(schedule(end_with, name, folder))
        _, exception = get_scheduler().get_result(record.id)
        assert type(exception) is ReplacedError
        assert str(exception) == f"{record.error.type}: {record.error.message}"
        assert len(pickle.dumps(exception)) < outcome.MAX_EXCEPTION
        assert folder.title == "A folder"

    @pytest.mark.parametrize("name", EXCEPTIONS)
    def test_are_described_in_plain_texts(self, folder, name):
        error = failure_of(schedule(end_with, name, folder))[0].error
        for text in (error.type, error.message, error.traceback):
            assert type(text) is str
            assert len(text.encode()) < 100_000
        if name != "without a text":
            assert "a text" in error.message

    def test_of_a_class_with_a_name_are_kept_up_to_a_size(self):
        size = outcome.MAX_EXCEPTION - 1000
        for length, kept in ((size, Sized), (size + 1000, ReplacedError)):
            ended = outcome.failed(Sized("x" * length))
            assert type(outcome.unpack(ended.exception, None)) is kept

    def test_of_the_commit_end_the_task(self, folder):
        record, _ = failure_of(schedule(refuse_commit, folder))
        assert record.error.type == "_pickle.PicklingError"
        assert folder.title == "A folder"


class TestResults:
    def test_of_a_local_class_stay_in_the_process(self, folder):
        assert str(result_of(schedule(return_local, folder))) == "a text"


class TestItems:
    """Of a batch, which failed."""

    @pytest.fixture
    def failures(self, folder, tmp_path):
        """The failures of items, by their places. Item 0 is what goes well."""

        class Local:
            pass

        path = tmp_path / "data"
        path.write_bytes(b"data")
        items = [
            "a text",
            upload("a.csv", b"name"),
            FileOf(path),
            b"x" * (batch.MAX_ITEM + 1),
            Local(),
            7,
        ]
        record = finished(schedule_batch(accept_text, items))
        assert record.state == "succeeded"
        transaction.begin()
        result, _ = get_scheduler().get_result(record.id)
        assert result.done == 1
        return {failure.index: failure for failure in result.failures}

    def test_are_kept_when_they_are_plain_and_small(self, failures):
        assert failures[5].item == 7

    def test_that_are_files_are_named(self, failures):
        assert failures[1].item == "a.csv"

    @pytest.mark.parametrize("index", [2, 3, 4])
    def test_that_cannot_be_kept_are_counted(self, failures, index):
        assert failures[index].item == f"item {index}"
        assert failures[index].error.message == "no text"
