"""Who gets in, whose requests are obeyed, and what is never a part of the page."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from helpers import finished
from plone.app.testing import login
from plone.app.testing import SITE_OWNER_NAME
from Products.CMFPlone.factory import addPloneSite
from zope.component.hooks import setSite

import logging
import pytest
import transaction


PAGES = [
    "@@background-tasks-controlpanel",
    "@@background-tasks-activity",
    "@@background-tasks-statistics",
    "@@background-tasks-recurring",
    "@@background-tasks-settings",
    "@@background-tasks-storage",
]
EVIL = "<script>alert('evil')</script>"


def fail(number):
    raise ValueError("it went wrong")


@pytest.fixture
def task_id(portal):
    return finished(schedule(fail, 1)).id


@pytest.fixture(
    params=[*PAGES, "@@background-tasks-many?action=delete", "@@background-task/{}"]
)
def page(request, task_id):
    return request.param.format(task_id)


class TestPermission:
    def test_managers_get_in(self, boss, steward, page):
        for user in (boss, steward):
            assert user.look(page).status == 200
            assert not user.was_refused

    def test_others_do_not(self, editor, page):
        assert editor.open(page).was_refused

    def test_anonymous_visitors_have_to_log_in(self, anonymous, page):
        assert anonymous.open(page).was_refused

    def test_own_tasks_are_no_exception(self, editor, portal):
        login(portal, "editor1")
        own = finished(schedule(int)).id
        assert editor.open(f"@@background-task/{own}").was_refused


class TestForgedRequests:
    @pytest.mark.parametrize(
        "path, form",
        [
            ("@@background-tasks-controlpanel", "ids:list={}&action=delete"),
            ("@@background-tasks-many", "action=delete"),
            ("@@background-task/{}", "action=delete"),
            ("@@background-task/{}", "action=delete&_authenticator=guessed"),
        ],
    )
    def test_do_nothing_to_tasks(self, boss, task_id, path, form):
        boss.post(path.format(task_id), form.format(task_id))
        assert boss.status == 403
        assert get_scheduler().record(task_id) is not None

    def test_pause_no_queue(self, boss, portal):
        boss.post("@@background-tasks-activity", "pause=default")
        assert boss.status == 403
        assert not any(queue.paused for queue in get_scheduler().queues())

    def test_run_nothing(self, boss, portal):
        assert boss.post("@@background-tasks-recurring", "run=x").status == 403

    def test_with_the_token_in_a_link_do_nothing(self, boss, task_id):
        """Only a POST does something."""
        path = f"@@background-task/{task_id}"
        token = boss.look(path).find("input[name=_authenticator]")["value"]
        boss.look(f"{path}?action=delete&_authenticator={token}")
        assert boss.status == 200
        assert get_scheduler().record(task_id) is not None

    def test_with_the_token_of_another_user_do_nothing(self, boss, task_id, functional):
        path = f"@@background-task/{task_id}"
        token = boss.look(path).find("input[name=_authenticator]")["value"]
        boss.browser.addHeader("Authorization", "Basic admin:secret")
        boss.post(path, f"action=delete&_authenticator={token}")
        assert boss.status == 403
        assert get_scheduler().record(task_id) is not None


def be_evil(argument):
    task = current_task()
    task.progress(1, 2, EVIL)
    task.message(EVIL)
    logging.getLogger("an.add-on").warning(EVIL)
    raise ValueError(EVIL)


class TestEscaping:
    def test_of_all_that_a_task_can_bring(self, boss, portal):
        task_id = finished(using(title=EVIL).schedule(be_evil, {EVIL: EVIL})).id
        record = get_scheduler().record(task_id)
        assert EVIL in record.error.message
        assert EVIL in record.title
        for path in (
            f"@@background-task/{task_id}",
            "@@background-tasks-many?action=delete",
            *PAGES,
        ):
            assert boss.open(path).status == 200
            assert "<script>alert" not in boss.contents
        boss.look(f"@@background-task/{task_id}")
        assert boss.contents.count("&lt;script&gt;") >= 6

    @pytest.mark.parametrize(
        "name", ["text", "user", "queue", "callable", "content", "error", "group"]
    )
    def test_of_filters(self, boss, task_id, name):
        for page in (f"{PAGES[0]}?", "@@background-tasks-many?action=delete&"):
            boss.look(f"{page}{name}=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
            assert boss.status == 200
            assert "<script>alert" not in boss.contents

    @pytest.mark.parametrize("name", ["state", "sort", "order", "age", "b_start"])
    def test_of_what_is_refused(self, boss, task_id, name):
        boss.look(f"{PAGES[0]}?{name}=%3Cscript%3Ealert(1)%3C/script%3E")
        assert boss.status == 400
        assert "<script>alert" not in boss.contents


class TestOtherSites:
    def test_have_their_own_tasks(self, boss, portal, task_id):
        app = portal.aq_parent
        login(app, SITE_OWNER_NAME)
        other = addPloneSite(app, "other")
        setSite(other)
        foreign = finished(schedule(fail, 1)).id
        setSite(portal)
        assert boss.look().ids() == [task_id]
        assert boss.look(f"@@background-task/{foreign}").status == 404
        boss.look()
        token = boss.find("input[name=_authenticator]")["value"]
        boss.post(PAGES[0], f"ids:list={foreign}&action=delete&_authenticator={token}")
        assert "1 not there any more" in boss.contents
        assert get_scheduler().record(foreign) is not None
        transaction.abort()


class TestTasksOfUsersWithMoreRights:
    """Nothing of what is inside of them is there, and no button to run them again."""

    @pytest.fixture
    def closed(self, portal):
        login(portal, "boss")
        return finished(using(title="Closed").schedule(fail, "xyzzy")).id

    def test_on_their_page(self, steward, closed):
        steward.look(f"@@background-task/{closed}")
        assert steward.status == 200
        assert "The user of this task has more rights than you" in steward.contents
        assert "xyzzy" not in steward.contents
        assert not steward.find_all("#background-task-traceback, #background-task-log")
        assert [b["value"] for b in steward.find_all("button")] == ["delete"]

    def test_in_the_list(self, steward, closed):
        steward.look().press("action", "retry", **{"ids:list": [closed]})
        assert "1 cannot be tried again" in steward.contents
        assert get_scheduler().record(closed).state == "failed"
