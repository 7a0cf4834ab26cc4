"""What managers see of the arguments of a task."""

from collections import namedtuple
from collections import OrderedDict
from collections.abc import Mapping
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_request
from collective.background import schedule_view
from collective.background.capture.describing import MAX_ARGUMENTS
from collective.background.capture.describing import MAX_LENGTH
from collective.background.capture.secrets import HIDDEN
from dataclasses import dataclass
from functools import partial
from helpers import finished
from io import BytesIO
from types import SimpleNamespace
from ZPublisher.HTTPRequest import FileUpload
from ZPublisher.HTTPRequest import record

import attrs
import pytest
import transaction


def import_rows(context, rows=(), *args, api_token=None, options=None):
    """Something to schedule."""


class Unshowable:
    def __repr__(self):
        raise RuntimeError("no text")


class Moody(Mapping):
    """A mapping that has no entries for those who only look."""

    def __getitem__(self, key):
        raise KeyError(key)

    def __iter__(self):
        raise RuntimeError("not now")

    def __len__(self):
        return 1


Person = namedtuple("Person", "name, password")


@dataclass(slots=True)
class Slotted:
    name: str
    password: str


@attrs.define
class Attributes:
    name: str
    password: str


class Talkative(SimpleNamespace):
    def __repr__(self):
        return f"{self.name} has {self.password}"


HOLDERS = (Person, Slotted, Attributes, SimpleNamespace, Talkative)


class Unloadable:
    def __reduce__(self):
        return _explode, ()


def _explode():
    raise RuntimeError("not here")


@pytest.fixture
def arguments(functional):
    """Return a function that returns a waiting task's arguments as a dictionary."""
    scheduler = get_scheduler()
    scheduler.pause("default")

    def describe(task_id):
        return dict(scheduler.arguments(task_id))

    yield describe
    transaction.abort()
    scheduler.resume("default")


class TestCalls:
    def test_by_their_names(self, arguments, folder):
        found = arguments(schedule(import_rows, folder, [1, 2], options=None))
        assert found == {
            "context": "<'A folder' at /plone/folder>",
            "rows": "[1, 2]",
            "options": "None",
        }

    def test_a_method_has_no_self(self, arguments, folder):
        assert arguments(schedule(folder.setTitle, "New")) == {"title": "New"}

    def test_of_a_function_without_a_signature_they_have_numbers(self, arguments):
        assert arguments(schedule(max, 1, 2)) == {"1": "1", "2": "2"}

    def test_a_function_as_an_argument(self, arguments):
        found = arguments(schedule(import_rows, None, lambda: None))
        assert found["rows"].startswith("<function TestCalls.")

    def test_entries_of_a_mapping(self, arguments):
        found = arguments(schedule(import_rows, None, {"a": 1, "b": {"c": 2}}))
        assert found["rows.a"] == "1"
        assert found["rows.b"] == "{'c': 2}"

    def test_they_stay_when_the_task_has_ended(self, functional):
        task_id = schedule(import_rows, None, [1, 2])
        finished(task_id)
        assert dict(get_scheduler().arguments(task_id))["rows"] == "[1, 2]"

    def test_they_stay_of_what_ran_at_once(self, functional):
        task_id = schedule_batch(len, ["a", "b"], inline_below=3)
        transaction.commit()
        found = dict(get_scheduler().arguments(task_id))
        assert found == {"items": "['a', 'b']", "number of items": "2"}

    def test_of_an_unknown_task(self, functional):
        assert get_scheduler().arguments("0" * 32) is None


class TestOtherKinds:
    def test_batch(self, arguments, folder):
        items = ["a", "b", "c", "d"]
        found = arguments(schedule_batch(import_rows, items, [5]))
        assert found["items"] == "['a', 'b', 'c']"
        assert found["number of items"] == "4"
        assert found["rows"] == "[5]"

    def test_view(self, arguments, folder):
        found = arguments(
            schedule_view(
                folder,
                "edit",
                {"title": "New", "password": "geheim"},
                method="POST",
                body=b"12345",
            )
        )
        assert found == {"title": "New", "password": HIDDEN, "body": "5 bytes"}

    def test_request(self, arguments):
        found = arguments(
            schedule_request(
                "POST",
                "https://example.com/?token=geheim",
                auth=("ann", "geheim"),
                headers={"Authorization": "geheim", "Accept": "text/plain"},
                json={"a": 1},
            )
        )
        assert found == {
            "auth": HIDDEN,
            "headers.Authorization": HIDDEN,
            "headers.Accept": "text/plain",
            "json.a": "1",
        }


class TestSecrets:
    def test_by_the_name_of_the_argument(self, arguments):
        found = arguments(schedule(import_rows, None, [], api_token="geheim"))
        assert found["api_token"] == HIDDEN

    def test_a_mapping_with_a_secret_name_is_hidden_as_a_whole(self, arguments):
        found = arguments(schedule(import_rows, None, [], api_token={"a": "geheim"}))
        assert found["api_token"] == HIDDEN

    @pytest.mark.parametrize("mapping", [dict, OrderedDict])
    @pytest.mark.parametrize("name", ["Password", "X-API-Key", "clientSecret"])
    def test_inside_of_other_values(self, arguments, name, mapping):
        value = mapping({name: "geheim", "a": 1})
        found = arguments(schedule(import_rows, None, [(value,)]))
        assert "geheim" not in found["rows"]
        assert "'a': 1" in found["rows"]

    @pytest.mark.parametrize("wrap", [str, lambda text: [text], lambda text: {1: text}])
    def test_of_who_logs_in_by_an_address(self, arguments, wrap):
        address = wrap("postgresql://ann:geheim@db.example.com/rows")
        (shown,) = arguments(schedule(len, address)).values()
        assert "geheim" not in shown
        assert f"postgresql://{HIDDEN}@db.example.com/rows" in shown

    @pytest.mark.parametrize("kind", HOLDERS)
    def test_in_the_fields_of_any_object(self, arguments, kind):
        value = kind(name="ann", password="geheim")
        assert arguments(schedule(import_rows, value)) == {
            "context.name": "ann",
            "context.password": HIDDEN,
        }
        found = arguments(schedule(import_rows, None, [value]))
        assert "ann" in found["rows"]
        assert "geheim" not in found["rows"]

    @pytest.mark.parametrize("pairs", [list, tuple])
    def test_in_pairs(self, arguments, pairs):
        value = pairs([("password", "geheim"), ("a", 1), ["token", "geheim"]])
        found = arguments(schedule(import_rows, None, value))["rows"]
        assert "geheim" not in found
        assert "('a', 1)" in found

    @pytest.mark.parametrize("wrap", [bytes, bytearray, lambda data: [data]])
    def test_in_bytes(self, arguments, wrap):
        found = arguments(schedule(import_rows, None, wrap(b"password=geheim")))
        assert found["rows"] in ("<15 bytes>", "[<15 bytes>]")

    def test_in_a_function_with_some_of_its_arguments(self, arguments):
        value = partial(import_rows, api_token="geheim")
        found = arguments(schedule(import_rows, value))["context"]
        assert "geheim" not in found
        assert "import_rows" in found

    @pytest.mark.parametrize("wrap", [dict, lambda headers: list(headers.items())])
    def test_headers_that_nobody_knows(self, arguments, wrap):
        headers = wrap({"X-Sesame": "geheim", "Accept": "text/plain"})
        url = "https://example.com"
        expected = {"headers.X-Sesame": HIDDEN, "headers.Accept": "text/plain"}
        assert arguments(schedule_request("GET", url, headers=headers)) == expected
        found = arguments(schedule(import_rows, None, [{"headers": headers}]))["rows"]
        assert "geheim" not in found
        assert "text/plain" in found

    def test_values_have_their_own_names(self, arguments):
        def log_in(context, *names, password, title=None):
            """Something to schedule."""

        found = get_scheduler().arguments(
            schedule(log_in, 1, "a", "b", title="T", password="geheim")
        )
        assert found == (
            *(("context", "1"), ("names", "a"), ("names", "b")),
            *(("title", "T"), ("password", HIDDEN)),
        )

    def test_in_records_of_a_form(self, arguments, folder):
        login = record()
        login.name, login.password = "ann", "geheim"
        form = {"login": login, "logins": [login]}
        found = arguments(schedule_view(folder, "edit", form))
        assert (found["login.name"], found["login.password"]) == ("ann", HIDDEN)
        assert "geheim" not in found["logins"]


class TestBounds:
    def test_long_texts(self, arguments):
        found = arguments(schedule(import_rows, "x" * 1000, ["y" * 1000] * 1000))
        assert found["context"] == "x" * MAX_LENGTH + "…"
        assert len(found["rows"]) <= MAX_LENGTH + 1

    def test_many_entries(self, arguments):
        found = arguments(schedule(import_rows, dict.fromkeys(range(1000))))
        assert len(found) == MAX_ARGUMENTS + 1
        assert found["…"] == f"and {1000 - MAX_ARGUMENTS} more"


class TestFaults:
    def test_a_repr_that_fails(self, arguments):
        found = arguments(schedule(import_rows, Unshowable()))
        assert "Unshowable" in found["context"]

    def test_what_cannot_be_loaded(self, arguments):
        found = arguments(schedule(import_rows, Unloadable()))
        assert found == {"": "cannot be shown: RuntimeError"}

    def test_change_nothing_of_how_a_task_has_ended(self, functional):
        """They are described when its work is committed already."""
        task_id = schedule(import_rows, Moody())
        assert finished(task_id).state == "succeeded"
        assert get_scheduler().arguments(task_id) == (
            ("", "cannot be shown: RuntimeError"),
        )

    def test_an_upload(self, arguments):
        field = SimpleNamespace(
            file=BytesIO(b"content"), headers={}, filename="rows.csv", name="file"
        )
        found = arguments(schedule(import_rows, FileUpload(field)))
        assert found["context"] == "<file 'rows.csv', 7 bytes>"
