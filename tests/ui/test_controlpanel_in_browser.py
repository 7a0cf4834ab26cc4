"""The control panel, as a manager uses it in a browser."""

from collective.background import get_scheduler
from collective.background import using
from helpers import finished
from people import expect_state
from people import tasks
from playwright.sync_api import expect
from plone import api

import pytest
import transaction


pytestmark = pytest.mark.slow

TASKS = "@@background-tasks-controlpanel"
ACTIVITY = "@@background-tasks-activity"
RECURRING = "@@background-tasks-recurring"
STATISTICS = "@@background-tasks-statistics"
MANY = "@@background-tasks-many?action=cancel"
SETTINGS = "@@background-tasks-settings"
PAGES = (TASKS, MANY, ACTIVITY, STATISTICS, RECURRING, SETTINGS)
# Another page of Site Setup: what is wrong there as well is not of this package.
PLONES = "@@language-controlpanel"


def fail(secret):
    raise ValueError("it went wrong")


@pytest.fixture
def queue(demo):
    """The queue "imports", in which nothing starts until a test resumes it."""
    scheduler = get_scheduler()
    scheduler.pause("imports")
    yield "imports"
    scheduler.resume("imports")


@pytest.fixture
def waiting(demo, queue):
    """The ids of three waiting tasks of an editor."""
    with api.env.adopt_user("editor1"):
        ids = [using(title=f"Task {n}", queue=queue).schedule(int) for n in "123"]
    transaction.commit()
    return ids


@pytest.fixture
def failed(demo):
    """The id of a task of an editor that has failed."""
    with api.env.adopt_user("editor1"):
        task_id = using(title="Failing task").schedule(fail, "a secret")
    return finished(task_id).id


def status(person):
    """What the page tells of what was done."""
    return person.page.locator("#global_statusmessage")


def select(person, *ids):
    for task_id in ids:
        tasks(person, task_id).get_by_role("checkbox").check()


# One class: the layer is set up once for it.
class TestControlPanel:
    def test_is_found_in_site_setup(self, manager):
        manager.open("@@overview-controlpanel")
        manager.page.get_by_role("link", name="Background tasks").click()
        expect(manager.page).to_have_url(f"{manager.url}/{TASKS}")

    def test_is_not_for_editors(self, editor):
        editor.open(TASKS)
        expect(editor.page).to_have_url(f"{editor.url}/insufficient-privileges")

    def test_one_act_for_many(self, manager, waiting):
        manager.open(TASKS)
        select(manager, *waiting[:2])
        manager.page.get_by_role("button", name="Cancel").click()
        expect(status(manager)).to_contain_text("2 cancelled")
        for task_id, state in zip(
            waiting, ("cancelled", "cancelled", "queued"), strict=True
        ):
            expect_state(tasks(manager, task_id), state)
            assert get_scheduler().record(task_id).state == state

    def test_all_of_a_page_are_selected_at_once(self, manager, waiting):
        manager.open(TASKS)
        manager.page.get_by_label("Select all").check()
        manager.page.get_by_role("button", name="Cancel").click()
        expect(status(manager)).to_contain_text("3 cancelled")

    def test_what_happens_is_seen_without_a_reload(self, manager, waiting):
        """What was selected and what has the focus stay."""
        manager.open(TASKS)
        first, *_ = waiting
        box = tasks(manager, first).get_by_role("checkbox")
        box.check()
        expect(box).to_be_focused()
        get_scheduler().resume("imports")
        expect_state(tasks(manager, first), "succeeded")
        expect(box).to_be_checked()
        expect(box).to_be_focused()

    def test_a_queue_pauses_and_goes_on(self, manager, demo):
        manager.open(ACTIVITY)
        row = manager.page.locator("[data-queue=imports]")
        row.get_by_role("button", name="Pause").click()
        expect(row).to_contain_text("pauses")
        task_id = using(queue="imports").schedule(int)
        transaction.commit()
        assert get_scheduler().record(task_id).state == "queued"
        row.get_by_role("button", name="Resume").click()
        expect(row.get_by_role("button", name="Pause")).to_be_visible()
        assert get_scheduler().wait(task_id, 30).state == "succeeded"

    def test_a_task_has_its_page(self, manager, failed):
        manager.open(TASKS)
        manager.page.get_by_role("link", name="Failing task").click()
        expect(manager.page).to_have_url(f"{manager.url}/@@background-task/{failed}")
        content = manager.page.locator("#content")
        expect(content).to_contain_text("it went wrong")
        expect(content).to_contain_text("Traceback")
        expect(content).not_to_contain_text("a secret")
        first = get_scheduler().record(failed).started
        content.get_by_role("button", name="Retry").click()
        expect(status(manager)).to_contain_text("1 queued again")
        assert finished(failed).started > first

    def test_filters(self, manager, waiting, failed):
        manager.open(TASKS)
        manager.page.get_by_label("Text").fill("failing")
        manager.page.get_by_role("button", name="Filter").click()
        expect(tasks(manager)).to_have_count(1)
        manager.page.get_by_role("link", name="Reset").click()
        expect(tasks(manager)).to_have_count(4)

    def test_works_without_scripts(self, visit, waiting):
        manager = visit("admin", java_script_enabled=False)
        manager.open(TASKS)
        select(manager, waiting[0])
        manager.page.get_by_role("button", name="Cancel").click()
        expect_state(tasks(manager, waiting[0]), "cancelled")

    def test_empty_pages_are_accessible(self, manager, axe):
        found = {}
        for path in PAGES:
            manager.open(path)
            found[path] = manager.inaccessible(axe, "#content")
        assert found == {path: [] for path in found}

    def test_a_strict_policy_refuses_nothing(self, manager, strict, waiting, failed):
        """But for what it refuses in Plone's own pages as well."""
        manager.open(PLONES)
        plones = manager.refused()
        for path in (*PAGES, f"@@background-task/{failed}"):
            manager.open(path)
            assert (path, manager.refused() - plones) == (path, set())

    def test_new_tasks_appear_while_somebody_types(self, manager, waiting):
        manager.open(f"{TASKS}?state=queued")
        manager.page.get_by_label("Text").fill("half a wo")
        with api.env.adopt_user("editor1"):
            fourth = using(title="Task 4", queue="imports").schedule(int)
        transaction.commit()
        expect(tasks(manager, fourth)).to_be_visible()
        expect(tasks(manager)).to_have_count(4)
        expect(manager.page.get_by_label("Text")).to_have_value("half a wo")

    def test_a_row_stays_with_its_task(self, manager, waiting):
        """Also when those before it go, and new ones come."""
        manager.open(f"{TASKS}?state=queued")
        select(manager, waiting[0])
        get_scheduler().cancel(waiting[1])
        expect(tasks(manager)).to_have_count(2)
        expect(tasks(manager, waiting[0]).get_by_role("checkbox")).to_be_checked()
        expect(tasks(manager, waiting[2]).get_by_role("checkbox")).not_to_be_checked()

    def test_it_can_be_told_to_stay_as_it_is(self, manager, waiting):
        manager.page.clock.install()
        manager.open(TASKS)
        live = manager.page.get_by_label("Keep up to date")
        live.uncheck()
        asked = []
        manager.page.on("request", lambda request: asked.append(request.url))
        manager.page.clock.run_for("10:00")
        assert [url for url in asked if "ajax_load" in url] == []
        live.check()
        get_scheduler().cancel(waiting[0])
        manager.page.clock.run_for("00:30")
        expect_state(tasks(manager, waiting[0]), "cancelled")

    def test_a_task_is_followed_to_its_end(self, manager, waiting):
        manager.open(f"@@background-task/{waiting[0]}")
        expect_state(tasks(manager), "queued")
        live = manager.page.get_by_label("Keep up to date")
        expect(live).to_be_visible()
        get_scheduler().resume("imports")
        expect_state(tasks(manager), "succeeded")
        expect(live).to_be_hidden()

    def test_says_that_the_session_is_over(self, manager, waiting):
        manager.open(TASKS)
        manager.context.clear_cookies()
        notice = manager.page.locator("#content [role=alert]:visible")
        expect(notice).to_contain_text("You are logged out.")
        notice.get_by_role("link", name="Log in").click()
        expect(manager.page.locator("#__ac_name")).to_be_visible()

    def test_says_so_too_to_who_logs_in_by_the_browser(self, manager, waiting):
        manager.open(TASKS)
        manager.page.route("**/*ajax_load=1*", lambda route: route.fulfill(status=401))
        notice = manager.page.locator("#content [role=alert]:visible")
        expect(notice).to_contain_text("You are logged out.")

    def test_says_that_the_server_does_not_answer(self, manager, waiting):
        manager.open(TASKS)
        manager.page.route("**/*ajax_load=1*", lambda route: route.abort())
        notice = manager.page.locator("#content [role=alert]:visible")
        expect(notice).to_have_text("The server does not answer. Trying again …")
        manager.page.unroute("**/*ajax_load=1*")
        expect(notice).to_have_count(0)
        get_scheduler().cancel(waiting[0])
        expect_state(tasks(manager, waiting[0]), "cancelled")

    def test_says_that_a_task_is_gone(self, manager, waiting):
        manager.open(f"@@background-task/{waiting[0]}")
        get_scheduler().cancel(waiting[0])
        get_scheduler().remove(waiting[0])
        notice = manager.page.locator("#content [role=alert]:visible")
        expect(notice).to_have_text("This task is not known any more.")
