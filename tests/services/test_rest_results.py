"""``@tasks/<id>/result``: what a task has returned, and nothing that could do harm."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from collective.background.model.spool import MEMORY_LIMIT
from helpers import NO_JSON
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from plone.namedfile import NamedBlobFile

import pytest
import transaction


SCRIPT = b"<html><body><script>alert(1)</script></body></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def as_editor(users):
    """Return a function: editor1 schedules a call; the value is the id of the task."""

    def as_editor(call, *args, ends=True, **kwargs):
        with api.env.adopt_user(username="editor1"):
            task_id = call(*args, **kwargs)
            transaction.commit()
        if ends:
            get_scheduler().wait(task_id, TIMEOUT)
            transaction.begin()
        return task_id

    return as_editor


@pytest.fixture
def file_of(site):
    """Return a function that makes a public file of some data."""

    def file_of(data, content_type, name):
        blob = NamedBlobFile(data, contentType=content_type, filename=name)
        content = api.content.create(site, "File", "a-file", file=blob)
        content.manage_permission("View", ["Anonymous"])
        transaction.commit()
        return content

    return file_of


def assert_harmless(answer):
    """Whatever is in an answer, no browser shows it, or runs what is in it."""
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-cache"


def identity(value):
    return value


def fail_at_two(number):
    if number == 2:
        raise ValueError("two")


def fail():
    raise ValueError("it went wrong")


class TestViews:
    @pytest.mark.parametrize(
        ("data", "content_type"),
        [(SCRIPT, "text/html"), (SVG, "image/svg+xml"), (b"x", "text/x-unknown")],
    )
    def test_all_but_json_is_for_downloading(
        self, as_editor, file_of, editor, data, content_type
    ):
        content = file_of(data, content_type, "ä file.bin")
        task_id = as_editor(schedule_view, content, "@@download/file/harmless.bin")
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.status_code == 200
        assert answer.content == data
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert_harmless(answer)

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json;,text/html",
            "application/json,text/html",
            "text/html;application/json",
            "text/plain;,text/html",
            "multipart/x-mixed-replace;boundary=x",
            "APPLICATION/JSON ; charset=utf-7",
        ],
    )
    def test_no_header_of_the_view_is_passed_on(
        self, as_editor, file_of, boss, content_type
    ):
        """Browsers split them at commas, and find another type there."""
        content = file_of(SCRIPT, content_type, "evil.json")
        task_id = as_editor(schedule_view, content, "@@download/file/evil.json")
        for path in (f"@tasks/{task_id}/result", f"@@background-result/{task_id}"):
            accepted = "text/html" if "@@" in path else "application/json"
            answer = boss.get(path, headers={"Accept": accepted})
            assert answer.content == SCRIPT
            assert answer.headers["Content-Type"] in (
                *("application/json", "application/octet-stream"),
                *("text/plain", "text/plain; charset=utf-8"),  # added by the publisher
            )
            assert_harmless(answer)
            assert "Last-Modified" not in answer.headers
            assert "Content-Language" not in answer.headers

    def test_json_is_for_downloading_too(self, as_editor, file_of, editor):
        content = file_of(b"[1]", "application/json", "a.json")
        task_id = as_editor(schedule_view, content, "@@download/file")
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json() == [1]
        assert_harmless(answer)

    def test_an_inline_one_too_under_its_own_name(self, as_editor, file_of, editor):
        content = file_of(b"%PDF-1.4", "application/pdf", "a file.pdf")
        task_id = as_editor(schedule_view, content, "@@display-file/file")
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.content == b"%PDF-1.4"
        assert answer.headers["Content-Type"] == "application/pdf"
        # Before Plone 6.2 the view gives no name.
        name = answer.headers["Content-Disposition"].removeprefix("attachment")
        assert name in ("", "; filename*=UTF-8''a%20file.pdf")

    def test_a_page_is_not_themed(self, as_editor, site, editor):
        task_id = as_editor(schedule_view, site, "@@accessibility-info")
        (result, _) = get_scheduler().get_result(task_id)
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.content == result.body
        assert answer.headers["Content-Disposition"] == "attachment"

    def test_a_large_one(self, as_editor, file_of, editor):
        data = b"0123456789" * (MEMORY_LIMIT // 10 + 1)
        content = file_of(data, "application/zip", "a.zip")
        task_id = as_editor(schedule_view, content, "@@download/file")
        for _ in range(2):  # it is still there afterwards
            answer = editor.get(f"@tasks/{task_id}/result")
            assert answer.content == data
            assert answer.headers["Content-Length"] == str(len(data))

    def test_a_redirect_is_told_and_not_made(self, as_editor, site, editor):
        """Who has put the address there is not known."""
        address = "http://example.org/elsewhere"
        link = api.content.create(site, "Link", "link", remoteUrl=address)
        link.manage_permission("View", ["Anonymous"])
        link.manage_permission("Modify portal content", ["Manager"])
        transaction.commit()
        task_id = as_editor(schedule_view, link, "link_redirect_view")
        answer = editor.get(f"@tasks/{task_id}/result", allow_redirects=False)
        assert answer.status_code == 200
        assert answer.json() == {"status": 302, "location": address}
        assert_harmless(answer)

    def test_the_address_of_what_was_created(self, later, tree):
        body = {"@type": "Document", "title": "New"}
        _, answer = later("POST", "target", json=body)
        assert answer.status_code == 201
        assert answer.headers["Location"] == answer.json()["@id"]


class TestOthers:
    @pytest.mark.parametrize("value", [7, "text", ["a", {"b": 1.5}], True])
    def test_json(self, as_editor, editor, value):
        task_id = as_editor(schedule, identity, value)
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json() == value

    def test_none(self, as_editor, editor):
        task_id = as_editor(schedule, identity, None)
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.status_code == 200
        assert answer.json() is None

    def test_what_is_no_json(self, as_editor, editor):
        task_id = as_editor(schedule, identity, 1j)
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.status_code == 404
        assert "a complex, cannot be told as JSON" in answer.json()["message"]

    @pytest.mark.parametrize("function", NO_JSON)
    def test_what_only_looks_like_json(self, as_editor, editor, function):
        task_id = as_editor(schedule, function)
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.status_code == 404
        assert "cannot be told as JSON" in answer.json()["message"]

    def test_a_batch(self, as_editor, editor, boss):
        task_id = as_editor(schedule_batch, fail_at_two, [1, 2, 3])
        result = editor.get(f"@tasks/{task_id}/result").json()
        assert result["done"] == 2
        (failure,) = result["failures"]
        assert (failure["index"], failure["item"]) == (1, "2")
        error = failure["error"]
        assert error["message"] == f"An error has happened ({error['id']})."
        assert (error["type"], error["traceback"]) == ("", "")
        result = boss.get(f"@tasks/{task_id}/result").json()
        error = result["failures"][0]["error"]
        assert (error["type"], error["message"]) == ("builtins.ValueError", "two")
        assert "Traceback" in error["traceback"]


class TestNone:
    def test_of_an_unfinished_one_with_when_to_ask_again(self, as_editor, editor):
        with waiting():
            task_id = as_editor(schedule, identity, 7, ends=False)
            answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.status_code == 404
        assert answer.json()["message"] == "The task has not ended yet"
        assert answer.headers["Retry-After"] == "2"

    def test_of_a_failed_one(self, as_editor, editor):
        task_id = as_editor(schedule, fail)
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.status_code == 404
        assert answer.json()["message"] == "The task has failed, without a result"
        assert "Retry-After" not in answer.headers

    def test_of_a_cancelled_one(self, as_editor, editor):
        with waiting():
            task_id = as_editor(schedule, identity, 7, ends=False)
            editor.delete(f"@tasks/{task_id}")
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.status_code == 404
        assert "cancelled" in answer.json()["message"]

    def test_of_anothers(self, as_editor, other, visitor):
        task_id = as_editor(schedule, identity, 7)
        assert other.get(f"@tasks/{task_id}/result").status_code == 404
        assert visitor.get(f"@tasks/{task_id}/result").status_code == 401
