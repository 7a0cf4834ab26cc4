"""Answers of the REST API are for the one who asks, and for nobody else."""

from collective.background import get_scheduler
from collective.background import schedule
from helpers import add_users
from helpers import finished
from plone import api
from sessions import PREFER

import pytest


def fail(secret):
    raise ValueError("it went wrong")


@pytest.fixture
def task_of(users):
    """Return a function: a user's task that has failed; the value is its id."""

    def task_of(user_id, function=fail):
        with api.env.adopt_user(username=user_id):
            return finished(schedule(function, "xyzzy")).id

    return task_of


class TestNoProxyKeepsThem:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "@tasks"),
            ("GET", "@tasks/{}"),
            ("GET", "@tasks/{}/result"),
            ("PATCH", "@tasks/{}"),
            ("DELETE", "@tasks/{}"),
            ("GET", "@tasks/unknown"),
            ("GET", "@tasks?state=unknown"),
            ("GET", "@task-queues"),
        ],
    )
    def test_of_the_services(self, boss, task_of, method, path):
        path = path.format(task_of("editor1"))
        answer = boss.request(method, path, json={"retry": True})
        assert answer.headers["Cache-Control"] == "private, no-cache"

    def test_of_an_accepted_call(self, editor, tree):
        answer = editor.post("target/@copy", json={}, headers=PREFER)
        assert answer.status_code == 202
        assert answer.headers["Cache-Control"] == "private, no-cache"


class TestInstance:
    """It has the name of the machine in it."""

    def test_is_for_managers(self, editor, boss, task_of):
        path = f"@tasks/{task_of('editor1')}"
        assert editor.get(path).json()["instance"] == ""
        assert [t["instance"] for t in editor.get("@tasks").json()["items"]] == [""]
        assert boss.get(path).json()["instance"] == get_scheduler().instance


class TestTasksOfUsersWithMoreRights:
    @pytest.fixture
    def closed(self, site, task_of):
        add_users(site, {"chief": ["Manager"]})
        return task_of("chief")

    def test_are_shown_without_what_is_inside(self, boss, closed):
        shown = boss.get(f"@tasks/{closed}").json()
        (listed,) = boss.get("@tasks?all=1").json()["items"]
        for record in (shown, listed):
            assert record["error"]["traceback"] == ""
            assert record["log"] == []
            assert "arguments" not in record
            assert "result" not in record
            assert "xyzzy" not in str(record)
        [attempt] = shown["timeline"]
        assert (attempt["state"], attempt["error"]["traceback"]) == ("failed", "")

    def test_are_not_run_again(self, boss, closed):
        answer = boss.patch(f"@tasks/{closed}", json={"retry": True})
        assert answer.status_code == 401
        assert get_scheduler().record(closed).state == "failed"

    def test_have_no_result(self, site, boss, task_of):
        add_users(site, {"chief": ["Manager"]})
        closed = task_of("chief", str)
        assert boss.get(f"@tasks/{closed}/result").status_code == 401
        assert "xyzzy" not in boss.get(f"@@background-result/{closed}").text
