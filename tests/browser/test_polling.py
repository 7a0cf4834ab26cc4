"""``@@background-tasks``: what the script of a page asks again and again."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from threading import Semaphore
from visitors import buttons
from visitors import tasks_in
from visitors import text
from visitors import VIEWLET

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
    def test_is_the_opened_tray_alone(self, editor, failed, done):
        answer = editor.poll()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.text.startswith("<section ")
        assert list(tasks_in(answer)) == [failed, done]

    def test_has_nothing_that_is_for_managers(self, editor, failed):
        assert "Traceback" not in editor.poll().text

    def test_is_empty_for_who_has_no_tasks(self, other, done):
        assert other.poll().text == ""

    def test_is_empty_where_the_site_does_not_want_it(self, editor, done, setting):
        """But for the page with the list, to which somebody has gone."""
        etag = editor.poll().headers["ETag"]
        setting("show_viewlet", False)
        assert editor.poll(etag=etag).text == ""
        assert done in tasks_in(editor.poll(all="1"))

    def test_has_no_more_what_was_dismissed_or_forgotten(self, editor, done, failed):
        get_scheduler().dismiss(done)
        get_scheduler().remove(failed)
        assert editor.poll().text == ""

    def test_is_asked_for_where_the_page_is(self, editor, folder, done):
        line = editor.see("folder").select_one(VIEWLET)
        assert line["data-poll-url"] == (
            f"{editor.url}/folder/@@background-tasks?ajax_load=1"
        )


class TestNothingNew:
    def test_is_an_empty_answer(self, editor, done, failed):
        etag = editor.poll().headers["ETag"]
        answer = editor.poll(etag=etag)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag

    def test_also_for_a_proxy_that_compresses(self, editor, done):
        etag = editor.poll().headers["ETag"]
        assert editor.poll(etag=f'"else", W/{etag}').status_code == 304

    def test_not_when_a_task_goes_on(self, editor, steps):
        task_id, step = steps
        first = editor.poll()
        assert text(tasks_in(first)[task_id], "progress") == "1 / 3"
        etag = first.headers["ETag"]
        assert editor.poll(etag=etag).status_code == 304
        step()
        second = editor.poll(etag=etag)
        assert text(tasks_in(second)[task_id], "progress") == "2 / 3"

    def test_not_when_a_task_is_to_stop(self, editor, steps):
        task_id, _ = steps
        etag = editor.poll().headers["ETag"]
        get_scheduler().cancel(task_id)
        task = tasks_in(editor.poll(etag=etag))[task_id]
        assert text(task, "label") == "is being cancelled"

    def test_while_a_task_waits_for_its_time(self, editor, portal):
        """That time is one and the same, however often it is computed."""
        task_id = using(delay=3600).schedule(int)
        transaction.commit()
        etag = editor.poll().headers["ETag"]
        assert editor.poll(etag=etag).status_code == 304
        get_scheduler().cancel(task_id)
        assert editor.poll(etag=etag).status_code == 200

    def test_not_when_another_task_becomes_active(self, editor, done):
        etag = editor.poll().headers["ETag"]
        with waiting():
            schedule(int)
            transaction.commit()
            assert len(tasks_in(editor.poll(etag=etag))) == 2

    def test_not_when_a_task_is_gone(self, editor, done):
        etag = editor.poll().headers["ETag"]
        get_scheduler().remove(done)
        assert editor.poll(etag=etag).status_code == 200

    def test_not_when_users_may_do_less_than_before(self, editor, failed, setting):
        etag = editor.poll().headers["ETag"]
        setting("owners_may_cancel", False)
        task = tasks_in(editor.poll(etag=etag))[failed]
        assert buttons(task) == ["dismiss"]

    def test_not_on_another_page(self, editor, folder, done):
        finished(schedule(api.content.get_path, folder))
        etag = editor.poll().headers["ETag"]
        assert editor.poll(etag=etag, path="folder").status_code == 200


class TestCookie:
    """It tells pages that something was scheduled; so they need not ask."""

    def cookies_after(self, editor, folder, **headers):
        answer = editor.patch(
            "++api++/folder",
            json={"description": "Changed"},
            headers={"Accept": "application/json", **headers},
        )
        get_scheduler().wait_all(TIMEOUT)
        assert answer.status_code in (202, 204)
        return [(cookie.name, cookie.path) for cookie in answer.cookies]

    def test_comes_when_something_is_scheduled(self, editor, folder, setting):
        news = [("background_tasks", "/plone")]
        asynchronous = {"Prefer": "respond-async"}
        assert self.cookies_after(editor, folder, **asynchronous) == news
        assert self.cookies_after(editor, folder) == []
        setting("show_viewlet", False)
        assert self.cookies_after(editor, folder, **asynchronous) == []


class TestHeaders:
    def test_say_when_to_ask_again(self, editor, done, setting):
        assert editor.poll().headers["Retry-After"] == "2"
        setting("poll_interval", 7)
        answer = editor.poll()
        assert answer.headers["Retry-After"] == "7"
        again = editor.poll(etag=answer.headers["ETag"])
        assert again.headers["Retry-After"] == "7"

    def test_let_no_proxy_keep_it(self, editor, done):
        assert editor.poll().headers["Cache-Control"] == "private, no-cache"


class TestRefused:
    @pytest.mark.parametrize("headers", [{}, JSON])
    def test_are_anonymous_visitors(self, anonymous, done, headers):
        """To the login form, or without it: the script tells these from the rest."""
        answer = anonymous.get(
            "@@background-tasks?ajax_load=1", headers=headers, allow_redirects=False
        )
        assert answer.status_code == (401 if headers else 302)
        assert done not in answer.text

    def test_is_to_tell_of_content_that_one_may_not_see(self, other, folder, done):
        """The list is there all the same, for who has scheduled and lost his rights."""
        folder.setTitle("Confidential")
        for permission in ("View", "Access contents information"):
            folder.manage_permission(permission, ["Owner"])
        transaction.commit()
        answer = other.get("folder/@@background-tasks")
        assert answer.status_code == 200
        assert "Confidential" not in answer.text

    def test_are_fields_in_many_places(self, editor, done):
        answer = editor.get(
            "@@background-tasks", params={"all": ["1", "2"], "ajax_load": "1"}
        )
        assert answer.status_code == 400
