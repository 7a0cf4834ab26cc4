"""The viewlet: a user's own tasks, above the content of every page."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_request
from collective.background import schedule_view
from collective.background import using
from collective.background.browser import items
from collective.background.browser import tray
from collective.background.browser import wholes
from collective.background.deployment import adopt
from collective.background.exceptions import TaskFailed
from collective.background.running import pace
from datetime import timedelta
from helpers import finished
from helpers import waiting
from http.server import BaseHTTPRequestHandler
from http.server import HTTPServer
from itertools import count
from plone import api
from threading import Event
from threading import Thread
from urllib.parse import urlsplit
from visitors import buttons
from visitors import TASKS
from visitors import tasks_in
from visitors import text
from visitors import VIEWLET
from zope.globalrequest import getRequest
from zope.i18nmessageid import Message

import pytest
import re
import transaction


SCRIPT = "<script>alert(1)</script>"


def talk():
    current_task().message(SCRIPT, type="warning")
    current_task().progress(3, 12, SCRIPT)
    raise TaskFailed(SCRIPT)


def counts(page):
    """Return what the line of the tray says."""
    return [count.text for count in page.select(f"{VIEWLET} summary [data-count]")]


@pytest.fixture
def held(portal, monkeypatch):
    """The id of a task that has done something and goes on after the test."""
    seconds = count(0.0, pace.EVERY)  # with each report
    monkeypatch.setattr(pace, "monotonic", lambda: next(seconds))
    begun, free = Event(), Event()

    def work():
        current_task().message("It is late", type="warning")
        current_task().progress(0, 12)
        current_task().progress(3, 12, "Half asleep")
        begun.set()
        assert free.wait(60)

    task_id = schedule(work)
    transaction.commit()
    assert begun.wait(60)
    yield task_id
    free.set()
    get_scheduler().wait_all(60)


class TestWhatIsShown:
    def test_of_a_task_that_has_succeeded(self, editor, done):
        task = editor.tasks()[done]
        assert task["data-task-state"] == "succeeded"
        assert text(task, "label") == "done"
        assert text(task, "title") == "Counting"
        assert text(task, "moment").startswith("ended ")
        assert task.select_one("progress")["value"] == "100"
        assert buttons(task) == ["dismiss"]

    def test_of_one_that_has_failed(self, editor, failed):
        """That there was an error, but not which."""
        task = editor.tasks()[failed]
        assert task["data-task-state"] == "failed"
        error = get_scheduler().record(failed).error
        assert text(task, "error") == f"An error has happened ({error.id})."
        assert "wrong" not in task.text
        assert buttons(task) == ["retry", "dismiss"]
        assert "Traceback" not in task.text

    def test_of_one_that_waits(self, editor, portal):
        with waiting():
            task_id = schedule(int)
            transaction.commit()
            task = editor.tasks()[task_id]
        assert task["data-task-state"] == "queued"
        assert task["data-task-active"] == "true"
        assert text(task, "moment").startswith("scheduled ")
        assert task.select_one("progress")["value"] == "0"
        assert buttons(task) == ["cancel"]

    def test_why_it_waits(self, editor, other, portal):
        """What is another user's is not told."""
        with waiting():
            first = using(title="First step").schedule(int)
            second = using(after=first).schedule(int)
            theirs = using(user="editor2", after=first).schedule(int)
            transaction.commit()
            tasks = editor.tasks()
            assert text(tasks[first], "reason") == "the queue is paused"
            assert text(tasks[second], "reason") == "after “First step”"
            assert text(other.tasks()[theirs], "reason") == "after another task"
            etag = editor.poll().headers["ETag"]
        get_scheduler().wait_all(60)
        assert editor.poll(etag=etag).status_code == 200
        assert text(editor.tasks()[second], "reason") == ""

    def test_that_nothing_runs_on_a_copy(self, editor, portal, copied):
        standing = f"{VIEWLET} [data-standing]"
        task_id = using(delay=3600).schedule(int)
        transaction.commit()
        etag = editor.poll().headers["ETag"]
        assert "Nothing runs here" in editor.see(TASKS).select_one(standing).text
        line = f"{VIEWLET} summary .background-tasks-standing"
        assert "seems to be a copy" in editor.see().select_one(line).text
        adopt(copied)
        transaction.commit()
        assert editor.poll(etag=etag).status_code == 200
        assert editor.see(TASKS).select(f"{standing}, {line}") == []
        get_scheduler().cancel(task_id)

    def test_of_one_that_will_start_later(self, editor, portal):
        task_id = using(delay=3600).schedule(int)
        transaction.commit()
        assert text(editor.tasks()[task_id], "moment").startswith("waits until ")
        get_scheduler().cancel(task_id)

    def test_of_one_that_was_cancelled(self, editor, portal):
        with waiting():
            task_id = schedule(int)
            transaction.commit()
            get_scheduler().cancel(task_id)
        assert buttons(editor.tasks()[task_id]) == ["retry", "dismiss"]

    def test_of_one_that_runs(self, editor, portal, held):
        """How far it is, and what it says."""
        task = editor.tasks()[held]
        assert task["data-task-state"] == "running"
        assert task.select_one("progress")["value"] == "25"
        assert text(task, "progress") == "3 / 12 · Half asleep"
        assert text(task, "remaining") == "a few seconds left"
        assert text(task, "moment").startswith("started ")
        (message,) = task.select("[data-messages] li")
        assert message.text == "It is late"
        assert "alert-warning" in message["class"]
        assert buttons(task) == ["cancel"]

    def test_of_one_that_is_asked_to_stop(self, editor, portal, held):
        get_scheduler().cancel(held)
        task = editor.tasks()[held]
        assert text(task, "label") == "is being cancelled"
        assert buttons(task) == []

    def test_how_many_are_in_which_state(self, editor, portal, done):
        with waiting():
            for _ in range(3):
                schedule(int)
            transaction.commit()
            page = editor.see()
        assert counts(page) == ["3 waiting", "1 done"]

    def test_that_there_are_more_than_a_hundred(self, editor, portal, done):
        with waiting():
            for _ in range(102):
                schedule(int)
            transaction.commit()
            page = editor.see()
        assert counts(page) == ["100+ waiting", "1 done"]

    def test_no_script_comes_from_anywhere(self, editor, portal):
        title = Message("${what}", mapping={"what": SCRIPT})
        titles = (SCRIPT, title)
        ids = [finished(using(title=given).schedule(talk)).id for given in titles]
        tasks = editor.tasks()
        for task_id in ids:
            assert tasks[task_id].select("script") == []
            assert tasks[task_id].text.count(SCRIPT) == 4
            assert text(tasks[task_id], "title") == SCRIPT

    def test_a_line_of_little_size(self, editor, held, done):
        """On each page; the list is not there before somebody asks for it."""
        for _ in range(20):
            finished(schedule(int))
        line = editor.see().select_one(VIEWLET)
        assert len(str(line)) < 8_000
        assert line.select("[data-task-id]") == []
        assert [count.text for count in line.select("[data-count]")] == [
            "1 running",
            "21 done",
        ]
        assert line.select_one("#background-tasks-current").text.endswith("work")
        assert line.select_one("summary progress")["value"] == "25"
        assert line.select_one("details").has_attr("data-active")
        assert not line.select_one("details").has_attr("open")

    def test_a_heading_for_those_who_hear_the_page(self, editor, done):
        heading = editor.see().select_one(f"{VIEWLET} h2")
        assert heading.text == "Background tasks"

    def test_a_page_of_their_own_without_scripts(self, editor, done):
        link = editor.see().select_one(f"{VIEWLET} details a")
        page = editor.see(link["href"].removeprefix(f"{editor.url}/"))
        assert page.h1.text == "My background tasks"
        (found,) = page.select(VIEWLET)
        assert found.select_one("details").has_attr("open")
        assert found.select_one("[data-task-id]")["data-task-id"] == done

    def test_a_page_without_tasks(self, other, done):
        """From the menu of the user."""
        link = other.see("folder").select_one("a[href$='@@background-tasks']")
        assert "My background tasks" in link.text
        page = other.see(link["href"].removeprefix(f"{other.url}/"))
        assert "There are no tasks." in page.select_one("#content").text

    def test_a_group_as_one(self, editor, portal):
        with group(title="Both of them") as both:
            for _ in "12":
                schedule(int)
        transaction.commit()
        get_scheduler().wait_all(60)
        (task,) = editor.tasks().values()
        assert task["data-task-id"] == both.id
        assert text(task, "title") == "Both of them"
        assert text(task, "progress") == "2 / 2"


class TestWhichAreShown:
    def test_none_to_others(self, other, boss, done):
        """Managers see those of others in the control panel."""
        for visitor in (other, boss):
            assert visitor.see().select(VIEWLET) == []

    def test_none_to_anonymous_visitors(self, anonymous, done):
        assert anonymous.see().select(VIEWLET) == []

    def test_none_where_the_site_does_not_want_it(self, editor, done, setting):
        setting("show_viewlet", False)
        assert editor.see().select(VIEWLET) == []

    def test_none_without_the_permission(self, editor, portal, done):
        portal.manage_permission("View own background tasks", ["Manager"])
        transaction.commit()
        assert editor.see().select(VIEWLET) == []

    def test_not_those_that_were_dismissed(self, editor, done, failed):
        get_scheduler().dismiss(done)
        assert list(editor.tasks()) == [failed]
        get_scheduler().dismiss(failed)
        assert editor.see().select(VIEWLET) == []

    def test_not_callbacks(self, editor, portal):
        task_id = finished(using(on_success=repr).schedule(int)).id
        get_scheduler().wait_all(60)
        assert list(editor.tasks()) == [task_id]

    def test_by_state_then_those_of_the_page_first(self, editor, folder, done, failed):
        of_folder = finished(schedule(api.content.get_path, folder)).id
        of_site = finished(schedule(int)).id
        with waiting():
            active = schedule(int)
            transaction.commit()
            assert list(editor.tasks()) == [active, failed, of_site, of_folder, done]
            tasks = editor.tasks("folder")
        assert list(tasks) == [active, failed, of_folder, of_site, done]
        here = [id for id, task in tasks.items() if task.has_attr("data-here")]
        assert here == [of_folder]

    def test_of_those_that_wait_the_oldest_first(self, editor, portal):
        """It is the next one."""
        with waiting():
            ids = [schedule(int), schedule(int)]
            transaction.commit()
            assert list(editor.tasks()) == ids

    def test_those_that_run_first(self, editor, held, failed):
        with waiting():
            queued = schedule(int)
            transaction.commit()
            assert list(editor.tasks()) == [held, queued, failed]

    def test_what_has_succeeded_a_while_ago_only_on_their_page(
        self, editor, folder, done, failed, monkeypatch
    ):
        """Unless there is something to be fetched."""
        report = finished(schedule_view(folder, "folder_contents")).id
        assert set(editor.tasks()) == {done, failed, report}
        monkeypatch.setattr(tray, "FOLDED_AFTER", timedelta(0))
        assert list(editor.tasks()) == [failed, report]
        page = editor.see("@@background-tasks")
        shown = [task["data-task-id"] for task in page.select("[data-task-id]")]
        assert shown == [failed, report, done]
        get_scheduler().dismiss(failed)
        get_scheduler().dismiss(report)
        assert editor.see().select(VIEWLET) == []

    def test_those_of_a_folder_on_its_default_page(self, editor, folder):
        page = api.content.create(folder, "Document", "page")
        folder.setDefaultPage("page")
        transaction.commit()
        ids = {finished(schedule(api.content.get_path, x)).id for x in (folder, page)}
        url = editor.see("folder").select_one(VIEWLET)["data-poll-url"]
        assert url == f"{editor.url}/folder/page/@@background-tasks?ajax_load=1"
        tasks = editor.tasks("folder/page")
        assert {id for id, task in tasks.items() if task.has_attr("data-here")} == ids

    def test_not_too_many(self, editor, folder, monkeypatch):
        monkeypatch.setattr(tray, "SHOWN", 2)
        of_folder = finished(schedule(api.content.get_path, folder)).id
        latest = [finished(schedule(int)).id for _ in "123"][-1]
        answer = editor.poll(path="folder")
        assert list(tasks_in(answer)) == [of_folder, latest]
        assert "hidden" not in re.search("<[^<]*There are more tasks", answer.text)[0]
        answer = editor.poll(path="folder", all="1")
        assert len(tasks_in(answer)) == 4
        assert "hidden" in re.search("<[^<]*There are more tasks", answer.text)[0]


class Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody on to somewhere else."""

    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", "http://example.org/")
        self.end_headers()

    def log_message(self, *args):
        """Not to the output of the tests."""


@pytest.fixture
def elsewhere():
    with HTTPServer(("localhost", 0), Elsewhere) as web_server:
        thread = Thread(target=web_server.serve_forever)
        thread.start()
        yield f"http://localhost:{web_server.server_port}/"
        web_server.shutdown()
        thread.join()


class TestLinks:
    def test_to_the_content_also_when_it_was_moved(self, editor, folder):
        task_id = finished(schedule(api.content.get_path, folder)).id
        link = editor.tasks()[task_id].select_one("a[data-field=title]")
        api.content.rename(folder, "renamed")
        transaction.commit()
        path = urlsplit(link["href"]).path.removeprefix("/plone/")
        assert editor.get(path).url == f"{editor.url}/renamed"

    def test_not_to_the_page_at_hand(self, editor, folder):
        task_id = finished(schedule(api.content.get_path, folder)).id
        task = editor.tasks("folder")[task_id]
        assert task.select("a[data-field=title]") == []
        assert text(task, "title")

    def result_links(self, editor, task_id):
        """Return the links to the result of a task: what they are, and their paths."""
        links = editor.tasks()[task_id].select("a[data-link]")
        shown = [link for link in links if not link.has_attr("hidden")]
        return {link["data-link"]: urlsplit(link["href"]).path for link in shown}

    def test_to_the_file_that_a_view_has_made(self, editor, folder):
        task_id = finished(schedule_view(folder, "folder_contents")).id
        assert self.result_links(editor, task_id) == {
            "download_url": f"/plone/@@background-result/{task_id}"
        }

    def test_to_the_page_to_which_a_view_has_led(self, editor, folder):
        url = urlsplit(editor.url)
        getRequest().setServerURL(url.scheme, url.hostname, url.port)
        task_id = finished(schedule_view(folder, f"resolveuid/{folder.UID()}")).id
        assert self.result_links(editor, task_id) == {"page_url": "/plone/folder"}

    def test_not_to_a_page_of_another_site(self, editor, portal, elsewhere):
        task_id = finished(schedule_request("GET", elsewhere, allow_redirects=False)).id
        assert get_scheduler().peek_result(task_id).location == "http://example.org/"
        assert self.result_links(editor, task_id) == {}

    def test_to_the_errors_of_a_batch(self, editor, portal):
        good = finished(schedule_batch(int, ["1", "2"])).id
        bad = finished(schedule_batch(int, ["1", "two"])).id
        assert self.result_links(editor, good) == {}
        assert list(self.result_links(editor, bad)) == ["failures_url"]

    def test_none_to_what_a_function_returns(self, editor, done):
        assert self.result_links(editor, done) == {}


class TestListing:
    """The script fetches a listing again, and nothing else."""

    def is_listing(self, editor, path):
        return editor.see(path).select_one(VIEWLET).has_attr("data-listing")

    def test_the_view_of_a_folder_is_one(self, editor, done):
        assert self.is_listing(editor, "folder")
        assert self.is_listing(editor, "folder/view")

    def test_its_other_pages_are_none(self, editor, done):
        for path in ("folder/edit", "folder/folder_contents", "folder/@@sharing"):
            assert not self.is_listing(editor, path)

    def test_a_page_is_none(self, editor, folder, done):
        api.content.create(folder, "Document", "page")
        transaction.commit()
        assert not self.is_listing(editor, "folder/page")


class TestBundle:
    def test_is_for_those_who_can_have_tasks(self, editor, anonymous):
        for visitor, number in ((editor, 1), (anonymous, 0)):
            page = visitor.see()
            scripts = page.select("script[src*='collective.background/']")
            styles = page.select("link[href*='collective.background/tasks.css']")
            assert (len(scripts), len(styles)) == (2 * number, number)

    def test_no_script_is_inside_of_the_page(self, editor, failed):
        found = editor.see("@@background-tasks").select_one(VIEWLET)
        assert found.select("script, style, [style], [onclick]") == []


class TestCost:
    """Who has no tasks should not notice that there is a viewlet."""

    @pytest.fixture
    def calls(self, monkeypatch):
        """The names of the functions that are called to render the viewlet."""
        calls = []

        def note(module, name):
            function = getattr(module, name)

            def noted(*args, **kwargs):
                calls.append(name)
                return function(*args, **kwargs)

            monkeypatch.setattr(module, name, noted)

        note(wholes, "visible_records")
        note(tray, "background_settings")
        note(items, "may_cancel")
        return calls

    def test_nothing_is_looked_up_for_anonymous_visitors(self, anonymous, done, calls):
        assert anonymous.get("").status_code == 200
        assert calls == []

    def test_of_who_has_none_only_that_is_looked_up(self, other, done, calls):
        assert other.get("").status_code == 200
        assert set(calls) == {"visible_records"}

    def test_of_others_only_what_the_line_needs(self, editor, failed, calls):
        assert editor.get("").status_code == 200
        assert set(calls) == {"visible_records", "background_settings"}
        assert editor.poll().status_code == 200
        assert "may_cancel" in calls
