"""What logs a user in is found wherever it is, and left out."""

from collective.background.capture.credentials import has_credentials
from collective.background.capture.credentials import has_credentials_in_json
from collective.background.capture.credentials import is_credential
from collective.background.capture.credentials import without_credentials
from io import BytesIO
from ZPublisher.HTTPRequest import record

import json
import pytest


def make_record(**fields):
    made = record()
    vars(made).update(fields)
    return made


SECRET = {"a": "1", "password": "secret"}
NESTED = [
    {"__ac": "secret"},
    {"__AC_Password": "secret"},
    {"form.widgets.Password_ctl": "secret"},
    {"user": make_record(**SECRET)},
    {"users": [make_record(a="1"), make_record(passwd="secret")]},
    {"users": ({"pwd": "secret"},)},
    {"users": [[{"data": {"new_password": "secret"}}]]},
]


@pytest.mark.parametrize("name", ["__ac_name", "passphrase", "oldPassword", "db_pwd"])
def test_names(name):
    assert is_credential(name)


@pytest.mark.parametrize("name", ["pass", "name", "account", "compass", 3])
def test_other_names(name):
    assert not is_credential(name)


@pytest.mark.parametrize("form", NESTED)
def test_at_every_depth(form):
    form = {**form, "kept": ["x"]}
    assert has_credentials(form)
    shown = without_credentials(form)
    assert "secret" not in repr(shown)
    assert shown["kept"] == ["x"]
    assert not has_credentials(shown)
    assert "secret" in repr(form)  # which belongs to the request


def test_what_is_beside_them_stays():
    shown = without_credentials({"user": make_record(**SECRET), "rows": (1, SECRET)})
    assert shown["user"].a == "1"
    assert shown["rows"] == (1, {"a": "1"})


def test_a_form_without_them_is_not_copied():
    form = {"rows": [{"a": "1"}], "text": "the password"}
    assert without_credentials(form) is form


class TestJson:
    @pytest.mark.parametrize("form", [form for form in NESTED if "user" not in form])
    def test_at_every_depth(self, form):
        text = json.dumps(form, default=vars)
        for data in (text.encode(), text.encode("utf-16"), f" [{text}]".encode()):
            assert has_credentials_in_json(BytesIO(data))

    def test_a_name_in_other_letters(self):
        assert has_credentials_in_json(BytesIO(rb'{"\u0070assword": "secret"}'))

    @pytest.mark.parametrize(
        "data", [b"", b'{"a": "password"}', b"no JSON: password", b"\xff\x00", b'"pwd"']
    )
    def test_none(self, data):
        assert not has_credentials_in_json(BytesIO(data))

    def test_too_deep_to_know(self):
        assert has_credentials_in_json(BytesIO(b"[" * 1_000_000))

    def test_what_is_deep_has_none_for_that(self):
        data = b'{"a":' * 600 + b"1" + b"}" * 600
        assert not has_credentials_in_json(BytesIO(data))

    def test_the_file_is_left_where_it_stands(self):
        file = BytesIO(b'{"a": 1}')
        file.seek(3)
        has_credentials_in_json(file)
        assert file.tell() == 3
