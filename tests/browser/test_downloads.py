"""``@@background-result/<id>``: what a task has produced, as a file."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from collective.background import using
from collective.background.model.records import Response
from collective.background.model.spool import Spool
from helpers import finished
from helpers import NO_JSON
from helpers import waiting
from plone import api
from plone.namedfile.file import NamedBlobFile
from requests.structures import CaseInsensitiveDict

import json
import pytest
import transaction


PAGE = b"<html><body><script>alert(1)</script></body></html>"


def answer_of(body, **headers):
    """A task that has the answer of a web server."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status=200, headers=CaseInsensitiveDict(names), spool=Spool.of(body)
    )


def give(value):
    return value


@pytest.fixture
def result(editor):
    """Return a function: the result of a task of editor1 that gets an answer."""

    def result(body, title="Report", visitor=editor, **headers):
        task = using(title=title)
        task_id = finished(task.schedule(answer_of, body, **headers)).id
        return visitor.get(f"@@background-result/{task_id}")

    return result


def file_name(answer):
    prefix = "attachment; filename*=UTF-8''"
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith(prefix)
    return disposition.removeprefix(prefix)


class TestFile:
    def test_has_the_type_and_the_name_that_the_view_has_given(self, result):
        answer = result(
            b"a;b\n",
            Content_Type="text/csv; charset=utf-8",
            Content_Disposition='inline; filename="countries.csv"',
        )
        assert answer.status_code == 200
        assert answer.content == b"a;b\n"
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.headers["Content-Length"] == "4"
        assert file_name(answer) == "countries.csv"

    def test_of_a_real_view(self, editor, folder):
        data = NamedBlobFile(b"\x00\x01" * 50, filename="Länder.bin")
        api.content.create(folder, "File", "file", file=data)
        transaction.commit()
        task_id = finished(schedule_view(folder["file"], "@@download/file")).id
        answer = editor.get(f"@@background-result/{task_id}")
        assert answer.content == b"\x00\x01" * 50
        assert file_name(answer) == "L%C3%A4nder.bin"

    @pytest.mark.parametrize(
        ("disposition", "name"),
        [
            ("attachment; filename*=UTF-8''L%C3%A4nder.csv", "L%C3%A4nder.csv"),
            ('attachment; filename="../../etc/passwd"', "passwd"),
            ('attachment; filename="C:\\\\temp\\\\x.csv"', "x.csv"),
            ('attachment; filename=".htaccess"', "htaccess"),
            ('attachment; filename="a b\'.csv"', "a%20b%27.csv"),
            ("attachment; filename=plain.csv", "plain.csv"),
            # No name at all, so it is that of the task.
            ("attachment; filename*=idna''%ff.csv", "Report"),
            ("attachment; filename*=undefined''x.csv", "Report"),
            ("attachment; filename*=a\0b''x.csv", "Report"),
        ],
    )
    def test_names(self, result, disposition, name):
        """No name leads out of the folder of downloads, or into another header."""
        answer = result(b"x", Content_Disposition=disposition)
        assert file_name(answer) == name

    @pytest.mark.parametrize(
        ("title", "content_type", "name"),
        [
            ("The report", "application/pdf", "The%20report.pdf"),
            ("Länder", "text/plain; charset=utf-8", "Lander.txt"),
            ("a/../b", "application/zip", "a-..-b.zip"),
        ],
    )
    def test_without_a_name_is_named_after_the_task(
        self, result, title, content_type, name
    ):
        answer = result(b"x", title=title, Content_Type=content_type)
        assert file_name(answer) == name

    def test_without_a_type_is_just_bytes(self, result):
        answer = result(b"x")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert file_name(answer) == "Report"

    def test_of_a_page_is_never_shown_as_one_of_the_site(self, result):
        """Neither is it changed, as pages of the site are."""
        answer = result(PAGE, Content_Type="text/html")
        assert answer.content == PAGE
        assert file_name(answer) == "Report.html"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert policy == "sandbox; default-src 'none'"

    def test_can_be_larger_than_memory_should_hold(self, result):
        body = bytes(range(256)) * 20_000
        answer = result(body, Content_Type="application/zip")
        assert answer.headers["Content-Length"] == str(len(body))
        assert answer.content == body

    def test_can_be_empty(self, result):
        answer = result(b"", Content_Type="text/plain")
        assert (answer.status_code, answer.content) == (200, b"")

    def test_can_be_had_again(self, editor, folder):
        task_id = finished(schedule_view(folder, "folder_contents")).id
        path = f"@@background-result/{task_id}"
        assert editor.get(path).content == editor.get(path).content

    def test_no_proxy_keeps_it(self, result):
        assert result(b"x").headers["Cache-Control"] == "private, no-cache"


class TestValue:
    """What a function returns is there as JSON, if it can be."""

    @pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True]}, "text", 0, []])
    def test_is_json(self, editor, portal, value):
        task_id = finished(using(title="Count").schedule(give, value)).id
        answer = editor.get(f"@@background-result/{task_id}")
        assert answer.headers["Content-Type"] == "application/json"
        assert file_name(answer) == "Count.json"
        assert answer.json() == value

    def test_the_errors_of_a_batch(self, editor, portal):
        """Whatever its items are; without the exceptions."""
        task_id = finished(schedule_batch(int, ["1", "two", b"\xff"])).id
        answer = editor.get(f"@@background-result/{task_id}")
        result = json.loads(answer.content)
        assert result["done"] == 1
        assert [f["item"] for f in result["failures"]] == ["two", repr(b"\xff")]
        error = result["failures"][0]["error"]
        assert error["message"] == f"An error has happened ({error['id']})."
        assert "ValueError" not in answer.text
        assert "Traceback" not in answer.text

    def test_that_cannot_be_json_is_not_found(self, editor, portal):
        """And it says why."""
        task_id = finished(schedule(complex, 1)).id
        answer = editor.get(f"@@background-result/{task_id}")
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.text == "The result, a complex, cannot be downloaded."

    @pytest.mark.parametrize("function", NO_JSON)
    def test_nor_is_what_only_looks_like_it(self, editor, portal, function):
        task_id = finished(schedule(function)).id
        assert editor.get(f"@@background-result/{task_id}").status_code == 404


class TestNotFound:
    def test_are_files_of_others(self, result, other):
        answer = result(b"a secret", visitor=other)
        assert answer.status_code == 404
        assert "a secret" not in answer.text

    def test_for_managers_they_are(self, result, boss):
        assert result(b"a secret", visitor=boss).content == b"a secret"

    def test_for_anonymous_visitors_they_are_not(self, result, anonymous):
        answer = result(b"a secret", visitor=anonymous)
        assert "/login" in answer.url
        assert "a secret" not in answer.text

    @pytest.mark.parametrize("path", ["", "/", "/" + "0" * 32, "/x/y", "/../x"])
    def test_is_what_there_is_not(self, editor, done, path):
        assert editor.get(f"@@background-result{path}").status_code == 404

    def test_is_what_has_not_ended(self, editor, portal):
        with waiting():
            task_id = schedule(int)
            transaction.commit()
            assert editor.get(f"@@background-result/{task_id}").status_code == 404

    def test_is_what_has_failed_without_a_result(self, editor, failed):
        assert editor.get(f"@@background-result/{failed}").status_code == 404

    def test_is_nothing(self, editor, portal):
        task_id = finished(schedule(give, None)).id
        assert editor.get(f"@@background-result/{task_id}").status_code == 404

    def test_is_what_was_forgotten(self, editor, done):
        get_scheduler().remove(done)
        assert editor.get(f"@@background-result/{done}").status_code == 404
