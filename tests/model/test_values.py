"""Values are loaded by releases that know more, or fewer, of their fields."""

from collective.background import exceptions
from collective.background.capture.reference import Reference
from collective.background.capture.users import UserReference
from collective.background.model import values
from collective.background.model.records import BatchFailure
from collective.background.model.records import BatchResult
from collective.background.model.records import ErrorInfo
from collective.background.model.records import InstanceStatus
from collective.background.model.records import Progress
from collective.background.model.records import QueueStatus
from collective.background.model.records import Response
from collective.background.model.records import TaskMessage
from collective.background.model.records import TaskRecord
from collective.background.model.trail import Attempt
from collective.background.model.trail import Intervention
from collective.background.model.values import value
from copy import deepcopy
from dataclasses import field
from dataclasses import make_dataclass
from dataclasses import MISSING
from dataclasses import replace

import inspect
import pickle
import pytest
import zodbpickle.pickle


# The fields without a default. There can be no new ones: older pickles lack them.
REQUIRED = {
    Attempt: {"number", "state", "started", "finished", "instance"},
    BatchFailure: {"index", "item", "error"},
    BatchResult: {"done", "failures"},
    ErrorInfo: {"type", "message", "traceback"},
    Intervention: {"action", "when", "by"},
    InstanceStatus: {"id", "slots", "running"},
    Progress: set(),
    QueueStatus: {"name", "slots", "running", "waiting", "paused"},
    Reference: {"path", "uid", "oid", "database", "title"},
    Response: {"status", "headers", "spool"},
    TaskMessage: {"text"},
    TaskRecord: {"id", "title", "state", "kind", "callable", "queue", "priority"}
    | {"user_id", "user_path", "site_path", "context_path", "context_uid", "created"},
    UserReference: {"kind"},
}
NAMES = {
    "attempt",
    "batch",
    "error",
    "failure",
    "instance",
    "intervention",
    "message",
    "progress",
    "queue",
    "reference",
    "response",
    "task",
    "user",
}


@pytest.fixture(params=[pickle, zodbpickle.pickle], ids=["pickle", "zodbpickle"])
def pickling(request):
    return request.param


@pytest.fixture
def classes(monkeypatch):
    """The table of classes, of the test's own."""
    monkeypatch.setattr(values, "CLASSES", {})
    return values.CLASSES


def sample(*fields):
    """Make a class of the name that a release gives it."""
    return value("sample")(
        make_dataclass("Sample", fields, frozen=True, kw_only=True, slots=True)
    )


class TestAnotherRelease:
    def test_an_older_pickle_has_the_defaults_of_new_fields(self, classes, pickling):
        data = pickling.dumps(sample("first", "last")(first=1, last=2))
        newer = sample("first", ("between", int, field(default=7)), "last")
        assert pickling.loads(data) == newer(first=1, between=7, last=2)

    def test_of_a_newer_one_unknown_fields_are_left_out(self, classes, pickling):
        newer = sample("first", ("between", int, field(default=7)), "last")
        data = pickling.dumps(newer(first=1, last=2))
        older = sample("last", "first")
        assert pickling.loads(data) == older(first=1, last=2)

    def test_of_an_unknown_class_the_values_are_left(self, classes, pickling):
        data = pickling.dumps(sample("first")(first=1))
        classes.clear()
        assert pickling.loads(data) == {"first": 1}

    def test_neither_class_nor_module_are_in_the_pickle(self):
        data = pickle.dumps(Progress(done=3))
        assert b"collective.background.model.values" in data
        assert b"load_value" in data
        assert b"Progress" not in data
        assert b"records" not in data


class TestClasses:
    @pytest.mark.parametrize("cls", REQUIRED)
    def test_have_no_new_field_without_a_default(self, cls):
        required = {
            field.name
            for field in cls.__dataclass_fields__.values()
            if field.default is field.default_factory is MISSING
        }
        assert required == REQUIRED[cls]

    def test_have_their_names_for_ever(self):
        assert set(values.CLASSES) == NAMES
        assert set(values.CLASSES.values()) == set(REQUIRED)

    def test_can_be_copied_and_replaced(self):
        failure = BatchFailure(
            index=1,
            item=[2],
            error=ErrorInfo(type="a.Class", message="text", traceback=""),
        )
        assert deepcopy(failure) == failure
        assert replace(failure, index=2) != failure


ERRORS = [
    cls
    for cls in vars(exceptions).values()
    if inspect.isclass(cls) and issubclass(cls, exceptions.BackgroundError)
]


class TestErrors:
    @pytest.mark.parametrize("cls", ERRORS)
    def test_are_loaded_with_whatever_they_were_made(self, pickling, cls):
        for args in ((), ("text",), ("text", 7, "later")):
            made = cls.__new__(cls, *args)
            made.later = 7
            loaded = pickling.loads(pickling.dumps(made))
            assert type(loaded) is cls
            assert (loaded.args, loaded.later) == (made.args, 7)

    def test_have_their_attributes(self, pickling):
        errors = (
            exceptions.Retry("later", delay=3),
            exceptions.ResponseFailed("a status", 404),
        )
        retry, failed = pickling.loads(pickling.dumps(errors))
        assert (str(retry), retry.delay) == ("later", 3)
        assert (str(failed), failed.status) == ("a status", 404)

    def test_of_an_older_release_lack_what_it_did_not_know(self):
        for cls, name in (
            (exceptions.Retry, "delay"),
            (exceptions.ResponseFailed, "status"),
        ):
            assert getattr(exceptions.load_error(cls, ("text",), {}), name) is None
