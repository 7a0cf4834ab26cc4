"""``@@background-tasks``: what the script of a page asks again and again."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.browser.polling import MAX_IDS
from helpers import TIMEOUT
from helpers import waiting
from threading import Semaphore

import pytest
import transaction


JSON = {"Accept": "application/json"}


@pytest.fixture
def steps(portal):
    """The id of a task that has done one of three steps, and a function: one more."""
    let, done = Semaphore(0), Semaphore(0)

    def work():
        for number in range(1, 4):
            assert let.acquire(timeout=TIMEOUT)
            current_task().progress(number, 3)
            done.release()

    def step():
        let.release()
        assert done.acquire(timeout=TIMEOUT)

    task_id = schedule(work)
    transaction.commit()
    step()
    yield task_id, step
    let.release(3)
    get_scheduler().wait_all(TIMEOUT)


class TestAnswer:
    def test_says_what_the_viewlet_says(self, editor, failed, done):
        """The script puts the one into the place of the other."""
        answer = editor.poll(failed, done).json()
        shown = editor.tasks()
        assert [task["id"] for task in answer["tasks"]] == [failed, done]
        for task in answer["tasks"]:
            item = shown[task["id"]]
            assert item["data-task-state"] == task["state"]
            for field in item.select("[data-field]"):
                assert field.text.strip() == task[field["data-field"]]
                is_empty = not task[field["data-field"]]
                assert field.has_attr("hidden") == is_empty
            for link in item.select("[data-link]"):
                assert link.get("href") == task[link["data-link"]]
            for button in item.select("button"):
                is_possible = button["value"] in task["actions"]
                assert button.has_attr("hidden") != is_possible
            assert task["state_class"] in item.select_one("[data-badge]")["class"]
            assert item.select_one("progress")["value"] == str(task["percentage"])

    def test_says_how_many_are_active(self, editor, done):
        with waiting():
            ids = [schedule(int) for _ in "12"]
            transaction.commit()
            answer = editor.poll(ids[0]).json()
        assert answer["active"] == 2
        assert answer["tasks"][0]["is_active"]

    def test_has_nothing_that_is_for_managers(self, editor, failed):
        assert "Traceback" not in editor.poll(failed).text

    def test_is_in_the_order_that_was_asked_for_each_once(self, editor, done, failed):
        tasks = editor.poll(failed, done, failed).json()["tasks"]
        assert [task["id"] for task in tasks] == [failed, done]

    def test_to_no_ids_is_empty(self, editor, done):
        assert editor.poll().json() == {"active": 0, "tasks": [], "gone": []}

    def test_below_any_content(self, editor, done):
        """As pages in another language ask for them there."""
        answer = editor.get("folder/@@background-tasks", params={"ids": done})
        assert [task["id"] for task in answer.json()["tasks"]] == [done]


class TestGone:
    def test_are_unknown_ones_and_those_of_others_alike(self, other, done):
        unknown = "0" * 32
        answer = other.poll(unknown, done, "<script>")
        assert answer.json() == {
            "active": 0,
            "tasks": [],
            "gone": [unknown, done, "<script>"],
        }
        assert answer.headers["Content-Type"] == "application/json"

    def test_are_those_that_were_dismissed_meanwhile(self, editor, done):
        get_scheduler().dismiss(done)
        assert editor.poll(done).json()["gone"] == [done]

    def test_are_those_that_were_forgotten_meanwhile(self, editor, done):
        get_scheduler().remove(done)
        assert editor.poll(done).json()["gone"] == [done]


class TestNothingNew:
    def test_is_an_empty_answer(self, editor, done, failed):
        etag = editor.poll(done, failed).headers["ETag"]
        answer = editor.poll(done, failed, etag=etag)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag

    def test_also_for_a_proxy_that_compresses(self, editor, done):
        etag = editor.poll(done).headers["ETag"]
        assert editor.poll(done, etag=f'"else", W/{etag}').status_code == 304

    def test_not_when_a_task_goes_on(self, editor, steps):
        task_id, step = steps
        first = editor.poll(task_id)
        assert first.json()["tasks"][0]["progress"] == "1 / 3"
        etag = first.headers["ETag"]
        assert editor.poll(task_id, etag=etag).status_code == 304
        step()
        second = editor.poll(task_id, etag=etag)
        assert second.json()["tasks"][0]["progress"] == "2 / 3"

    def test_not_when_a_task_is_to_stop(self, editor, steps):
        task_id, _ = steps
        etag = editor.poll(task_id).headers["ETag"]
        get_scheduler().cancel(task_id)
        (task,) = editor.poll(task_id, etag=etag).json()["tasks"]
        assert task["label"] == "is being cancelled"

    def test_while_a_task_waits_for_its_time(self, editor, portal):
        """That time is one and the same, however often it is computed."""
        task_id = using(delay=3600).schedule(int)
        transaction.commit()
        etag = editor.poll(task_id).headers["ETag"]
        assert editor.poll(task_id, etag=etag).status_code == 304
        get_scheduler().cancel(task_id)
        assert editor.poll(task_id, etag=etag).status_code == 200

    def test_not_when_another_task_becomes_active(self, editor, done):
        etag = editor.poll(done).headers["ETag"]
        with waiting():
            schedule(int)
            transaction.commit()
            assert editor.poll(done, etag=etag).json()["active"] == 1

    def test_not_when_a_task_is_gone(self, editor, done):
        etag = editor.poll(done).headers["ETag"]
        get_scheduler().remove(done)
        assert editor.poll(done, etag=etag).status_code == 200

    def test_not_when_users_may_do_less_than_before(self, editor, failed, setting):
        etag = editor.poll(failed).headers["ETag"]
        setting("owners_may_cancel", False)
        (task,) = editor.poll(failed, etag=etag).json()["tasks"]
        assert task["actions"] == ["dismiss"]

    def test_not_for_another_question(self, editor, done, failed):
        etag = editor.poll(done).headers["ETag"]
        assert editor.poll(failed, etag=etag).status_code == 200


class TestHeaders:
    def test_say_when_to_ask_again(self, editor, done, setting):
        assert editor.poll(done).headers["Retry-After"] == "2"
        setting("poll_interval", 7)
        answer = editor.poll(done)
        assert answer.headers["Retry-After"] == "7"
        again = editor.poll(done, etag=answer.headers["ETag"])
        assert again.headers["Retry-After"] == "7"

    def test_let_no_proxy_keep_it(self, editor, done):
        assert editor.poll(done).headers["Cache-Control"] == "private, no-cache"


class TestRefused:
    @pytest.mark.parametrize("headers", [{}, JSON])
    def test_are_anonymous_visitors(self, anonymous, done, headers):
        answer = anonymous.get(
            "@@background-tasks",
            params={"ids": done},
            headers=headers,
            allow_redirects=False,
        )
        assert answer.status_code == (401 if headers else 302)
        assert done not in answer.text

    def test_are_too_many_ids(self, editor, done):
        most = [f"{number:032x}" for number in range(MAX_IDS)]
        assert len(editor.poll(*most).json()["gone"]) == MAX_IDS
        answer = editor.poll(done, *most, headers=JSON)
        assert answer.status_code == 400
        assert f"ids has {MAX_IDS + 1} ids; at most {MAX_IDS} are" in answer.text

    def test_are_ids_in_many_places(self, editor, done):
        answer = editor.get(
            "@@background-tasks", params={"ids": [done, done]}, headers=JSON
        )
        assert answer.status_code == 400
        assert "it must be one text" in answer.text
