"""The page of one task shows all that is known of it."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from collective.background import using
from collective.background.capture.call import BATCH
from collective.background.controlpanel.task import KINDS as NAMES
from collective.background.database import questions
from collective.background.exceptions import TaskNotFound
from collective.background.executing.stacks import stack_now
from collective.background.running import pace
from collective.background.running.kinds import KINDS
from collective.background.scheduling.groups import KIND
from collective.background.testing import drain
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from itertools import count
from plone import api
from plone.app.testing import login
from threading import current_thread
from threading import Event

import logging
import pytest
import transaction


def fail(number, password=None):
    current_task().message("A message", "warning")
    logging.getLogger("an.add-on").warning("row %s is odd", number)
    raise ValueError("it went wrong")


started, free = Event(), Event()


def hold():
    current_task().progress(0, 4)
    current_task().progress(1, 4)
    started.set()
    assert free.wait(TIMEOUT)


def page(id):
    return f"@@background-task/{id}"


def rows(user, table="background-task-record"):
    """Return the table as {heading: text}."""
    headings = user.texts(f"#{table} th")
    return dict(zip(headings, user.texts(f"#{table} td"), strict=True))


@pytest.fixture
def failed(portal):
    """The record of a task of an editor that has failed."""
    login(portal, "editor1")
    return finished(using(title="An import").schedule(fail, 7, password="hush"))


def test_each_kind_has_a_name():
    assert set(NAMES) == {*KINDS, BATCH, KIND}


class TestWhatItDoesNow:
    @pytest.fixture
    def running(self, portal, tier, monkeypatch):
        """The id of a task that runs until the end of the test."""
        seconds = count(0.0, pace.EVERY)  # with each report
        monkeypatch.setattr(pace, "monotonic", lambda: next(seconds))
        login(portal, "boss")
        task_id = schedule(hold)
        transaction.commit()
        assert started.wait(TIMEOUT)
        yield task_id
        free.set()
        transaction.begin()
        get_scheduler().wait(task_id, TIMEOUT)
        free.clear()
        started.clear()
        transaction.abort()

    def test_is_the_stack_of_its_thread(self, boss, running):
        [stack] = boss.look(page(running)).texts("#background-task-stack")
        assert "in hold" in stack
        assert "runner.py" not in stack

    def test_here_nobody_has_to_ask(self, boss, running):
        assert boss.look(page(running)).find("[value=ask]") is None
        assert boss.find("#background-task-stack-taken") is None

    @pytest.mark.parametrize("tier", ["database"], indirect=True)
    def test_another_instance_is_asked(self, boss, running, monkeypatch, until):
        def stack_there(queue, id):
            is_there = current_thread().name == "background-watch"
            return stack_now(queue, id) if is_there else None

        def is_answered():
            transaction.begin()
            return get_scheduler().stack(running)

        monkeypatch.setattr(questions, "stack_now", stack_there)
        boss.look(page(running))
        assert boss.find("#background-task-stack") is None
        boss.press("action", "ask")
        assert "Asked for: what it does is shown here in a moment." in boss.contents
        until(is_answered)
        [stack] = boss.look(page(running)).texts("#background-task-stack")
        assert "in hold" in stack
        assert boss.find("#background-task-stack-taken time")
        assert boss.find("[value=ask]")

    def test_is_not_for_who_has_fewer_rights(self, steward, running):
        steward.look(page(running))
        assert steward.status == 200
        assert steward.find("#background-task-stack") is None
        assert steward.find("[value=ask]") is None
        token = steward.find("input[name=_authenticator]")["value"]
        form = f"action=ask&_authenticator={token}"
        assert steward.post(page(running), form).was_refused

    @pytest.mark.parametrize("tier", ["database"], indirect=True)
    def test_is_not_asked_without_a_token(self, boss, running):
        boss.post(page(running), "action=ask")
        transaction.begin()
        assert [id for id in get_scheduler().questions if id] == []

    def test_how_far_it_is_and_how_long_it_will_take(self, boss, running, until):
        def is_told():
            transaction.begin()
            return get_scheduler().record(running).progress.done

        until(is_told)
        boss.look(page(running))
        assert boss.find("[role=progressbar]")["aria-valuenow"] == "25"
        assert boss.texts("#background-task-left") == ["a few seconds left"]
        assert boss.find("[data-poll-interval]")


@pytest.mark.parametrize("name", ["task_stack", "task_arguments"])
def test_one_that_is_forgotten_meanwhile_is_not_found(boss, failed, monkeypatch, name):
    def find(id):
        raise TaskNotFound(id)

    monkeypatch.setattr(f"collective.background.controlpanel.task.{name}", find)
    boss.look(page(failed.id))
    assert boss.status == 404


class TestTrail:
    def test_has_each_attempt_and_who_has_intervened(self, boss, portal, tier):
        user = api.user.get("boss")
        user.setMemberProperties({"fullname": "The Boss"})
        login(portal, "editor1")
        task_id = finished(schedule(fail, 7)).id
        login(portal, "boss")
        get_scheduler().retry(task_id)
        instance = finished(task_id).instance
        boss.look(page(task_id))
        first, _, second, error = boss.texts("#background-task-attempts tbody tr")
        assert first.startswith("1 failed")
        assert second.startswith("2 failed")
        assert second.endswith(instance)
        assert error.startswith("ValueError: it went wrong")
        assert "in fail" in error
        [told] = boss.texts("#background-task-interventions li")
        assert told.startswith("Tried again by The Boss (boss)")

    def test_of_one_that_has_succeeded_at_once(self, boss, portal):
        task_id = finished(schedule(int)).id
        [row] = boss.look(page(task_id)).texts("#background-task-attempts tbody tr")
        assert row.startswith("1 done")
        assert boss.find("#background-task-interventions") is None

    def test_of_one_that_waits(self, boss, portal):
        with waiting():
            task_id = schedule(int)
            boss.look(page(task_id))
        assert boss.find("#background-task-attempts") is None

    def test_who_has_fewer_rights_sees_no_errors(self, boss, steward, portal):
        login(portal, "boss")
        task_id = finished(schedule(fail, 7)).id
        [_, error] = steward.look(page(task_id)).texts(
            "#background-task-attempts tbody tr"
        )
        assert error.startswith("An error has happened")
        assert "it went wrong" not in steward.contents


class TestRecord:
    def test_is_shown(self, boss, failed):
        boss.open(page(failed.id))
        assert boss.texts("h1") == ["An import"]
        shown = rows(boss)
        assert shown["Id"] == failed.id
        assert shown["Instance"] == failed.instance
        assert shown["Attempts"] == "1"
        assert failed.callable in shown["Call"]
        assert shown["Queue"] == "default , priority 0"

    def test_has_error_and_traceback(self, boss, failed):
        boss.look(page(failed.id))
        assert "builtins.ValueError" in boss.contents
        [own] = boss.texts("#background-task-own-frames")
        assert "in fail" in own
        assert "runner.py" not in own
        [traceback] = boss.texts("#background-task-traceback")
        assert "runner.py" in traceback
        assert traceback.endswith("ValueError: it went wrong")

    def test_has_the_log(self, boss, failed):
        [log] = boss.look(page(failed.id)).texts("#background-task-log")
        assert "WARNING an.add-on row 7 is odd" in log

    def test_has_the_messages(self, boss, failed):
        boss.look(page(failed.id))
        assert boss.texts("#background-tasks-part .alert-warning") == ["A message"]

    def test_has_the_arguments_without_secrets(self, boss, failed):
        boss.look(page(failed.id))
        shown = rows(boss, "background-task-arguments")
        assert shown["number"] == "7"
        assert "password" in shown
        assert "hush" not in boss.contents

    def test_has_no_arguments_that_the_site_wants_to_be_secret(self, boss, failed):
        name = "collective.background.redacted_names"
        api.portal.set_registry_record(name, ["number"])
        boss.look(page(failed.id))
        assert rows(boss, "background-task-arguments")["number"] != "7"

    def test_leads_to_the_user(self, boss, failed):
        boss.look(page(failed.id))
        assert boss.find("a[href$='@@user-information?userid=editor1']")

    def test_leads_to_no_page_of_a_user_of_the_zope_root(self, boss, portal):
        login(portal.aq_parent, "admin")
        task_id = finished(schedule(int)).id
        boss.look(page(task_id))
        assert rows(boss)["User"] == "admin (/acl_users)"

    def test_leads_to_the_content_also_when_it_has_moved(self, boss, folder, portal):
        task_id = finished(schedule(folder.Title)).id
        api.content.rename(folder, "moved")
        boss.look(page(task_id))
        boss.browser.getLink(url="resolveuid").click()
        assert boss.browser.url == f"{portal.absolute_url()}/moved"

    def test_leads_to_what_a_view_has_answered(self, boss, folder):
        task_id = finished(schedule_view(folder, "title_or_id")).id
        boss.look(page(task_id)).browser.getLink("Download the result").click()
        assert boss.contents == folder.Title()

    def test_leads_to_what_failed_of_a_batch(self, boss, portal):
        task_id = finished(schedule_batch(int, ["1", "two"])).id
        boss.look(page(task_id)).browser.getLink("Show what failed").click()
        assert "two" in boss.texts("#background-failures")[0]

    def test_leads_to_no_result_of_a_function(self, boss, portal):
        task_id = finished(schedule(int)).id
        assert "@@background-result" not in boss.look(page(task_id)).contents

    def test_that_is_unfinished_has_no_end(self, boss, portal):
        with waiting():
            task_id = schedule(int)
            boss.look(page(task_id))
            assert rows(boss)["Ended"] == rows(boss)["Has run"] == "—"
            assert boss.find("[data-task-id]")["data-task-state"] == "queued"

    def test_of_a_group_leads_to_its_tasks_and_back(self, boss, portal):
        with group(title="Both") as both:
            task_id = schedule(int)
        transaction.commit()
        drain()
        boss.look(page(task_id))
        boss.browser.getLink(both.id).click()
        assert boss.texts("h1") == ["Both"]
        boss.browser.getLink("Show its tasks").click()
        assert boss.ids() == [task_id]


class TestLive:
    def test_as_long_as_it_is_unfinished(self, boss, portal):
        with waiting():
            task_id = schedule(int)
            boss.look(page(task_id))
            assert boss.find("[data-poll-interval]")
        get_scheduler().wait(task_id, TIMEOUT)
        boss.look(page(task_id))
        assert boss.find("[data-poll-interval]") is None


class TestNotFound:
    @pytest.mark.parametrize("path", ["", "/" + "0" * 32, "/x/y"])
    def test_an_unknown_task(self, boss, path):
        assert boss.look(f"@@background-task{path}").status == 404

    def test_a_task_that_was_forgotten(self, boss, failed):
        get_scheduler().remove(failed.id)
        assert boss.look(page(failed.id)).status == 404


class TestActions:
    def test_retry(self, boss, failed):
        with waiting():
            boss.look(page(failed.id)).press("action", "retry")
            assert get_scheduler().record(failed.id).state == "queued"
            assert boss.browser.url.endswith(failed.id)
            assert "1 queued again" in boss.contents

    def test_delete_goes_to_the_list(self, boss, failed):
        boss.look(page(failed.id)).press("action", "delete")
        assert get_scheduler().record(failed.id) is None
        assert boss.browser.url.endswith("@@background-tasks-controlpanel")
        assert "1 deleted" in boss.contents

    def test_cancel(self, boss, portal):
        with waiting():
            task_id = schedule(int)
            boss.look(page(task_id)).press("action", "cancel")
            assert get_scheduler().record(task_id).state == "cancelled"
        assert "1 cancelled" in boss.contents

    def test_are_those_that_its_state_allows(self, boss, failed):
        def offered(id):
            boss.look(page(id))
            return [button["value"] for button in boss.find_all("[name=action]")]

        assert offered(failed.id) == ["retry", "delete"]
        assert offered(finished(schedule(int)).id) == ["delete"]
        with waiting():
            assert offered(schedule(int)) == ["cancel"]
