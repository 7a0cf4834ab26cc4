"""``@tasks``: list, look at, cancel, retry, dismiss and forget tasks over HTTP."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import using
from datetime import timedelta
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import logging
import pytest
import threading
import transaction


UNKNOWN = "0" * 32


def add(first, second=0):
    logging.getLogger("an.add-on").warning("what a task logs")
    return first + second


def fail(**secrets):
    raise ValueError("<script>alert(1)</script>")


@pytest.fixture
def run_as(users):
    """Return a function: a user schedules a task; the value is the id."""

    def run_as(user_id, function, *args, ends=True, title="A task", **kwargs):
        with api.env.adopt_user(username=user_id):
            task_id = using(title=title).schedule(function, *args, **kwargs)
            transaction.commit()
        if ends:
            get_scheduler().wait(task_id, TIMEOUT)
            transaction.begin()
        return task_id

    return run_as


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


class TestList:
    def test_has_the_tasks_of_the_user_newest_first(self, run_as, editor, other):
        first, _, second = [
            run_as(user_id, add, 1) for user_id in ("editor1", "editor2", "editor1")
        ]
        answer = editor.get("@tasks")
        assert ids(answer) == [second, first]
        assert answer.json()["items_total"] == 2
        assert answer.json()["@id"] == answer.url
        assert "batching" not in answer.json()

    def test_managers_can_ask_for_those_of_all(self, run_as, boss):
        task_id = run_as("editor1", add, 1)
        assert ids(boss.get("@tasks")) == []
        assert ids(boss.get("@tasks?all=1")) == [task_id]

    def test_and_for_those_of_one_user(self, run_as, boss):
        task_id, _ = (run_as(user_id, add, 1) for user_id in ("editor1", "editor2"))
        assert ids(boss.get("@tasks?all=1&user_id=editor1")) == [task_id]

    def test_others_cannot(self, run_as, editor):
        answer = editor.get("@tasks?all=1")
        assert answer.status_code == 401
        assert "managers" in answer.json()["message"]

    def test_visitors_have_none(self, visitor):
        assert visitor.get("@tasks").status_code == 401

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("state=failed", ["bad"]),
            ("state=failed&state=succeeded", ["good", "bad"]),
            ("state=running", []),
            ("queue=default", ["good", "bad"]),
            ("queue=other", []),
            ("text=GOOD", ["good"]),
            ("context_path=/plone/folder", ["good"]),
            ("group_id=none", []),
            ("dismissed=true", []),
            ("dismissed=0", ["good", "bad"]),
            ("sort_on=title", ["good", "bad"]),
            ("sort_on=title&sort_order=ascending", ["bad", "good"]),
            ("sort_order=ascending", ["bad", "good"]),
        ],
    )
    def test_filters(self, run_as, folder, editor, query, found):
        by_title = {
            run_as("editor1", fail, title="bad"): "bad",
            run_as("editor1", api.content.get_uuid, folder, title="good"): "good",
        }
        answer = editor.get(f"@tasks?{query}")
        assert [by_title[task_id] for task_id in ids(answer)] == found
        assert answer.json()["items_total"] == len(found)

    def test_age(self, run_as, editor):
        task_id = run_as("editor1", add, 1)
        created = get_scheduler().record(task_id).created
        second = timedelta(seconds=1)
        before, after = (
            {"created_after": time.isoformat()}
            for time in (created - second, created + second)
        )
        assert ids(editor.get("@tasks", params=before)) == [task_id]
        assert ids(editor.get("@tasks", params=after)) == []

    def test_pages(self, run_as, editor):
        task_ids = [run_as("editor1", add, 1) for _ in range(5)][::-1]
        answer = editor.get("@tasks?b_size=2&state=succeeded")
        pages = [ids(answer)]
        while following := answer.json()["batching"].get("next"):
            assert answer.json()["items_total"] == 5
            assert parse_qs(urlsplit(following).query)["state"] == ["succeeded"]
            answer = editor.get(following)
            pages.append(ids(answer))
        assert pages == [task_ids[:2], task_ids[2:4], task_ids[4:]]

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("state=done", "there is no state 'done'"),
            ("sort_on=size", "sort_on is 'size'"),
            ("sort_order=up", "sort_order is 'up'; it must be descending or ascending"),
            ("all=perhaps", "all is 'perhaps'"),
            ("created_after=today", "created_after is 'today'"),
            ("created_after=2026-01-01", "it must have a time zone"),
            ("queue=a&queue=b", "it must be one text"),
            ("user_id=editor2", "add all=1"),
            ("states=failed", "There is no filter 'states'; there are: all, state"),
            ("b_size=501", "b_size is 501"),
            ("b_size=-1", "it must be one whole number"),
            ("b_size=many", "it must be one whole number"),
        ],
    )
    def test_what_cannot_be_understood_is_refused(self, editor, query, message):
        answer = editor.get(f"@tasks?{query}")
        assert answer.status_code == 400
        assert message in answer.json()["message"]


class TestOne:
    def test_has_what_the_record_has(self, server, run_as, editor):
        task_id = run_as("editor1", add, 1, title="<b>Adding</b>")
        task = editor.get(f"@tasks/{task_id}").json()
        record = get_scheduler().record(task_id)
        assert task["@id"] == f"{server}/plone/@tasks/{task_id}"
        assert task["result"] == {"@id": f"{task['@id']}/result"}
        assert task["title"] == "<b>Adding</b>"
        assert task["state"] == "succeeded"
        assert task["created"] == record.created.isoformat()
        progress = {"done": 0, "total": None, "failed": 0, "message": ""}
        assert task["progress"] == {**progress, "seconds_left": None}

    def test_an_unfinished_one_says_when_to_ask_again(self, run_as, editor):
        api.portal.set_registry_record("collective.background.poll_interval", 7)
        with waiting():
            task_id = run_as("editor1", add, 1, ends=False)
            answer = editor.get(f"@tasks/{task_id}")
        assert answer.headers["Retry-After"] == "7"
        get_scheduler().wait(task_id, TIMEOUT)
        assert "Retry-After" not in editor.get(f"@tasks/{task_id}").headers

    def test_traceback_log_and_arguments_are_for_managers(self, run_as, editor, boss):
        logged = run_as("editor1", add, 1, second=2)
        failed = run_as("editor1", fail, password="s3cret")
        assert "arguments" not in editor.get(f"@tasks/{logged}").json()
        assert editor.get(f"@tasks/{logged}").json()["log"] == []
        assert editor.get(f"@tasks/{failed}").json()["error"]["traceback"] == ""

        task = boss.get(f"@tasks/{logged}").json()
        assert {"name": "second", "value": "2"} in task["arguments"]
        assert task["log"] == ["WARNING an.add-on what a task logs"]
        answer = boss.get(f"@tasks/{failed}")
        assert "Traceback" in answer.json()["error"]["traceback"]
        assert "s3cret" not in answer.text

    def test_attempts_and_who_has_intervened_are_for_managers(
        self, run_as, editor, boss
    ):
        task_id = run_as("editor1", fail)
        boss.patch(f"@tasks/{task_id}", json={"retry": True})
        get_scheduler().wait(task_id, TIMEOUT)
        task = boss.get(f"@tasks/{task_id}").json()
        first, second = task["timeline"]
        assert (first["number"], first["state"]) == (1, "failed")
        assert "in fail" in second["error"]["traceback"]
        assert second["started"] == task["started"]
        [retried] = task["interventions"]
        assert (retried["by"], retried["user_id"]) == ("user", "boss")
        shown = editor.get(f"@tasks/{task_id}").json()
        assert not {"timeline", "interventions"} & set(shown)

    @pytest.mark.parametrize(
        ("method", "kwargs"),
        [("GET", {}), ("DELETE", {}), ("PATCH", {"json": {"retry": True}})],
    )
    def test_anothers_is_not_there(self, run_as, other, method, kwargs):
        """The answer is that for one that does not exist."""
        task_id = run_as("editor1", fail)
        answers = [
            other.request(method, f"@tasks/{id}", **kwargs) for id in (task_id, UNKNOWN)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        texts = [
            answer.text.replace(id, "…")
            for answer, id in zip(answers, (task_id, UNKNOWN), strict=True)
        ]
        assert texts[0] == texts[1]
        assert get_scheduler().record(task_id).state == "failed"

    @pytest.mark.parametrize(
        "path", ["@tasks/{id}/other", "@tasks/{id}/result/more", "@tasks//x/y"]
    )
    def test_what_else_is_not_there(self, run_as, editor, path):
        task_id = run_as("editor1", add, 1)
        assert editor.get(path.format(id=task_id)).status_code == 404

    def test_only_at_the_site(self, run_as, folder, editor):
        task_id = run_as("editor1", add, 1)
        assert editor.get(f"folder/@tasks/{task_id}").status_code != 200

    def test_only_where_the_add_on_is_installed(self, run_as, editor):
        task_id = run_as("editor1", add, 1)
        api.portal.get_tool("portal_setup").runAllImportStepsFromProfile(
            "collective.background:uninstall"
        )
        transaction.commit()
        assert editor.get(f"@tasks/{task_id}").status_code == 404


class TestDelete:
    def test_cancels_a_waiting_one(self, run_as, editor):
        with waiting():
            task_id = run_as("editor1", add, 1, ends=False)
            answer = editor.delete(f"@tasks/{task_id}")
        assert answer.status_code == 200
        assert answer.json()["state"] == "cancelled"

    def test_asks_a_running_one_to_stop(self, run_as, editor):
        begun, go_on = threading.Event(), threading.Event()

        def work():
            begun.set()
            go_on.wait(TIMEOUT)
            current_task().check_cancelled()

        task_id = run_as("editor1", work, ends=False)
        assert begun.wait(TIMEOUT)
        answer = editor.delete(f"@tasks/{task_id}")
        go_on.set()
        assert answer.json()["state"] == "running"
        assert answer.json()["cancel_requested"] is True
        assert "Retry-After" in answer.headers
        assert get_scheduler().wait(task_id, TIMEOUT).state == "cancelled"

    def test_forgets_one_that_has_ended(self, run_as, editor):
        task_id = run_as("editor1", add, 1)
        answer = editor.delete(f"@tasks/{task_id}")
        assert answer.status_code == 204
        assert get_scheduler().record(task_id) is None

    def test_not_the_tasks_of_others_in_a_group_of_ones_own(self, users, editor):
        with waiting():
            with api.env.adopt_user(username="editor1"), group() as whole:
                using(user="boss").schedule(add, 1)
            transaction.commit()
            answer = editor.delete(f"@tasks/{whole.id}")
        assert (answer.status_code, answer.json()["type"]) == (409, "Conflict")
        get_scheduler().wait(whole.id, TIMEOUT)
        answer = editor.delete(f"@tasks/{whole.id}")
        assert (answer.status_code, answer.json()["type"]) == (409, "Conflict")

    def test_only_managers_cancel_where_that_is_set(self, run_as, editor, boss):
        name = "collective.background.owners_may_cancel"
        api.portal.set_registry_record(name, False)
        with waiting():
            task_id = run_as("editor1", add, 1, ends=False)
            assert editor.delete(f"@tasks/{task_id}").status_code == 401
            assert get_scheduler().record(task_id).state == "queued"
            assert boss.delete(f"@tasks/{task_id}").json()["state"] == "cancelled"

    def test_all_of_them_at_once_cannot_be(self, run_as, editor):
        task_id = run_as("editor1", add, 1)
        assert editor.delete("@tasks").status_code == 404
        assert get_scheduler().record(task_id) is not None


class TestPatch:
    def test_retry(self, run_as, editor):
        failed = run_as("editor1", fail)
        with waiting():
            answer = editor.patch(f"@tasks/{failed}", json={"retry": True})
        assert answer.status_code == 200
        assert answer.json()["state"] == "queued"
        assert "Retry-After" in answer.headers
        assert get_scheduler().wait(failed, TIMEOUT).attempts == 2

    def test_one_that_has_succeeded_cannot_be_tried_again(self, run_as, editor):
        task_id = run_as("editor1", add, 1)
        answer = editor.patch(f"@tasks/{task_id}", json={"retry": True})
        assert answer.status_code == 409
        assert answer.json()["type"] == "Conflict"
        assert task_id in answer.json()["message"]

    def test_dismiss(self, run_as, editor):
        task_id = run_as("editor1", add, 1)
        answer = editor.patch(f"@tasks/{task_id}", json={"dismissed": True})
        assert answer.json()["dismissed"] is True
        assert ids(editor.get("@tasks?dismissed=false")) == []

    def test_an_unfinished_one_cannot_be_dismissed(self, run_as, editor):
        with waiting():
            task_id = run_as("editor1", add, 1, ends=False)
            answer = editor.patch(f"@tasks/{task_id}", json={"dismissed": True})
        assert answer.status_code == 409

    @pytest.mark.parametrize(
        "body",
        [
            "{}",
            "[]",
            "no JSON",
            '{"retry": false}',
            '{"retry": "yes"}',
            '{"retry": true, "dismissed": true}',
            '{"state": "queued"}',
        ],
    )
    def test_what_cannot_be_understood_is_refused(self, run_as, editor, body):
        task_id = run_as("editor1", fail)
        answer = editor.patch(f"@tasks/{task_id}", data=body)
        assert answer.status_code == 400
        assert "true" in answer.json()["message"] or "JSON" in answer.json()["message"]
        assert get_scheduler().record(task_id).state == "failed"
