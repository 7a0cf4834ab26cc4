"""The viewlet with a user's tasks, in a browser."""

from collective.background import get_scheduler
from people import expect_state
from people import Person
from people import tasks
from playwright.sync_api import expect
from plone import api

import pytest
import transaction


pytestmark = pytest.mark.slow

VIEWLET = "#background-tasks"
LAST = "Azerbaijan"  # of the first fifteen countries
LONG = 120_000  # milliseconds; longer than a page ever waits before it asks again
# A link in the corner in which ends are told.
ADD_BELOW = """
document.body.insertAdjacentHTML(
  "beforeend",
  "<a href='#' id='below' class='position-fixed bottom-0 end-0'>Below</a>",
)
"""
SET_HIDDEN = """
(isHidden) => {
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""
END = """
(detail) => document.dispatchEvent(new CustomEvent("background-task-ended", { detail }))
"""

# Of an element, with its margins.
HEIGHT = """
(selector) => {
  const element = document.querySelector(selector);
  const { marginTop, marginBottom } = getComputedStyle(element);
  return element.offsetHeight + parseFloat(marginTop) + parseFloat(marginBottom);
}
"""
# A call of the REST API that becomes a task.
SCHEDULE = """
(url) => fetch(url, {
  method: "PATCH",
  headers: {
    Accept: "application/json",
    "Content-Type": "application/json",
    Prefer: "respond-async",
  },
  body: JSON.stringify({ description: "Changed" }),
})
"""


def open_tray(person):
    """Open it, if it is not; the browser remembers that."""
    details = person.page.locator(f"{VIEWLET} details")
    if details.get_attribute("open") is None:
        details.locator("summary").click()


def the_task(person):
    """The only task that a person sees in the opened tray."""
    open_tray(person)
    expect(tasks(person)).to_have_count(1)
    return tasks(person)


def button(task, name):
    return task.get_by_role("button", name=name)


def polls_within(person, milliseconds):
    """Return the addresses of the polls while so much time goes by for the page."""
    sent = []

    def note(request):
        if "@@background-tasks?" in request.url:
            sent.append(request.url)

    person.page.on("request", note)
    person.page.clock.run_for(milliseconds)
    person.page.evaluate("0")  # what came before the answer to this is noted
    person.page.remove_listener("request", note)
    return sent


@pytest.fixture
def folder(demo):
    return demo["portal"]["countries"]


@pytest.fixture
def importing(editor, gate):
    """An editor who looks at the folder; his import has done 5 of 15."""
    editor.import_countries(15)
    gate.let(6)
    # Five are in one transaction.
    expect(the_task(editor)).to_contain_text("5 / 15")
    return editor


# One class: the layer is set up once for it.
class TestViewlet:
    def test_progress_moves_and_the_listing_is_refreshed(self, importing, gate):
        """While it goes on, and at its end. The page itself stays: it is not loaded
        again."""
        importing.page.clock.install()
        importing.open("countries")
        assert importing.page.url == f"{importing.url}/countries"
        task = the_task(importing)
        expect(task).to_contain_text("Import of 15 countries")
        expect(task.get_by_role("progressbar")).to_have_attribute("value", "33")
        listing = importing.page.locator("#content-core")
        last = listing.get_by_role("link", name=LAST)
        expect(last).to_have_count(0)
        importing.page.evaluate("window.isTheSame = true")

        importing.page.clock.fast_forward(LONG)
        gate.let(5)
        expect(listing.get_by_role("link", name="Argentina")).to_be_visible()
        expect_state(task, "running")

        gate.open()
        expect_state(task, "succeeded")
        expect(task).to_contain_text("15 / 15")
        expect(last).to_be_visible()
        expect(importing.page.locator("[aria-live]")).to_have_text(
            "Import of 15 countries: done"
        )
        assert importing.page.evaluate("window.isTheSame")

    def test_a_running_task_is_cancelled(self, importing, gate, folder):
        """After the transaction in which it is; what was committed stays."""
        task = the_task(importing)
        button(task, "Cancel").click()
        expect(task).to_contain_text("is being cancelled")
        gate.open()
        expect_state(task, "cancelled")
        transaction.begin()
        assert len(folder) == 10

    def test_a_failed_task_is_retried(self, editor, folder):
        """It calls a view that is not there at first."""
        editor.fill_in("countries/@@run-view", name="report")
        task = the_task(editor)
        expect_state(task, "failed")
        expect(task).to_contain_text("An error has happened")
        transaction.begin()
        api.content.create(folder, "Document", "report", "A report")
        transaction.commit()
        button(task, "Retry").click()
        expect_state(task, "succeeded")
        expect(task).not_to_contain_text("An error has happened")

    def test_a_result_is_downloaded(self, editor):
        editor.fill_in("countries/@@run-view", name="folder_contents")
        task = the_task(editor)
        expect_state(task, "succeeded")
        with editor.page.expect_download() as download:
            task.get_by_role("link", name="Download the result").click()
        assert download.value.suggested_filename == "folder_contents.html"
        assert "pat-structure" in download.value.path().read_text()

    def test_what_has_ended_stays_until_it_is_dismissed(self, editor):
        editor.import_countries(1)
        task = the_task(editor)
        expect_state(task, "succeeded")
        button(task, "Dismiss").click()
        expect(tasks(editor)).to_have_count(0)
        editor.open("countries")
        expect(editor.page.locator("#content-core")).to_contain_text("Afghanistan")
        expect(editor.page.locator(VIEWLET)).to_have_count(0)

    def test_others_see_nothing_of_it(self, importing, colleague):
        colleague.open("countries")
        expect(colleague.page.locator("#content")).to_be_visible()
        expect(colleague.page.locator(VIEWLET)).to_have_count(0)

    def test_without_scripts(self, visit, gate):
        """States are those at page load, and the buttons work."""
        editor = visit("editor1", java_script_enabled=False)
        editor.import_countries(15)
        gate.let(0)
        editor.open("countries")
        expect(editor.page.locator(f"{VIEWLET} summary")).to_contain_text("1 running")
        editor.page.locator(f"{VIEWLET} summary").click()
        editor.page.get_by_role("link", name="Show the tasks").click()
        task = tasks(editor)
        expect_state(task, "running")
        button(task, "Cancel").click()
        expect(editor.page.locator("#global_statusmessage")).to_contain_text(
            "will stop at the next opportunity"
        )
        gate.open()
        get_scheduler().wait_all(30)
        expect_state(task, "running")
        editor.page.reload()
        expect_state(task, "cancelled")

    def test_the_keyboard_is_enough(self, importing, gate):
        """The focus goes on to the next thing that can be done."""
        task = the_task(importing)
        button(task, "Cancel").press("Enter")
        gate.open()
        expect_state(task, "cancelled")
        button(task, "Retry").focus()
        importing.page.keyboard.press("Tab")
        expect(button(task, "Dismiss")).to_be_focused()
        importing.page.keyboard.press("Enter")
        expect(tasks(importing)).to_have_count(0)

    def test_a_hidden_page_hardly_asks(self, importing):
        """Once a minute, as a task may end; and at once when it is shown again."""
        page = importing.page
        page.clock.install()
        importing.open("countries")
        page.evaluate(SET_HIDDEN, True)
        page.clock.run_for(1)
        assert len(polls_within(importing, LONG)) <= 2
        page.evaluate(SET_HIDDEN, False)
        with page.expect_request("**/@@background-tasks?*"):
            page.clock.run_for(1)

    def test_nothing_is_asked_when_all_have_ended(self, importing, gate):
        page = importing.page
        page.clock.install()
        gate.open()
        get_scheduler().wait_all(30)
        importing.open("countries")
        expect_state(the_task(importing), "succeeded")
        page.clock.run_for(1)
        assert polls_within(importing, LONG) == []

    def test_says_that_a_task_has_ended(self, importing, gate):
        """Where it covers nothing that has the focus; the keyboard closes it."""
        the_task(importing)
        page = importing.page
        page.evaluate(ADD_BELOW)
        notice = page.locator(".background-tasks-ends .toast")
        gate.open()
        expect(notice).to_have_text("doneImport of 15 countries")
        page.locator("#below").focus()
        assert notice.bounding_box()["y"] < page.viewport_size["height"] / 2
        page.keyboard.press("Escape")
        expect(notice).to_have_count(0)
        expect(page.locator("#below")).to_be_focused()

    def test_marks_the_title_of_a_tab_that_nobody_sees(self, importing, gate):
        """Until it is seen; what is said is there then, and for a while."""
        page = importing.page
        page.clock.install()
        importing.open("countries")
        the_task(importing)
        title = page.title()
        page.evaluate(SET_HIDDEN, True)
        gate.open()
        get_scheduler().wait_all(30)
        page.clock.run_for(LONG)
        expect(page).to_have_title(f"(✓) {title}")
        page.clock.run_for(LONG)
        notice = page.locator(".background-tasks-ends .toast")
        close = notice.get_by_role("button", name="Close: Import of 15 countries")
        close.focus()
        page.evaluate(SET_HIDDEN, False)
        expect(page).to_have_title(title)
        page.clock.run_for(LONG)
        expect(notice).to_have_count(1)
        page.locator(f"{VIEWLET} summary").focus()
        page.clock.run_for(LONG)
        expect(notice).to_have_count(0)

    def test_marks_what_was_done_in_part_as_bad(self, editor):
        editor.open("countries")
        title = editor.page.title()
        editor.page.evaluate(SET_HIDDEN, True)
        editor.page.evaluate(END, {"state": "succeeded", "isPartial": False})
        expect(editor.page).to_have_title(f"(✓) {title}")
        editor.page.evaluate(END, {"state": "succeeded", "isPartial": True})
        expect(editor.page).to_have_title(f"(✗) {title}")
        editor.page.evaluate(END, {"state": "succeeded", "isPartial": False})
        expect(editor.page).to_have_title(f"(✗) {title}")

    def test_what_users_write_is_no_script(self, editor):
        name = "<script>throw 1</script>"
        editor.fill_in("countries/@@run-view", name=name)
        task = the_task(editor)
        expect_state(task, "failed")
        expect(task).to_contain_text(name)
        button(task, "Retry").click()
        expect(task).to_contain_text(name)
        expect(task.locator("script")).to_have_count(0)

    def test_is_accessible(self, importing, axe, gate):
        importing.fill_in("countries/@@run-view", name="missing")
        open_tray(importing)
        expect(tasks(importing)).to_have_count(2)
        assert importing.inaccessible(axe, VIEWLET) == []
        gate.open()
        expect_state(tasks(importing).last, "succeeded")
        assert importing.inaccessible(axe, ".background-tasks-ends") == []

    @pytest.mark.parametrize("width", [320, 375, 1280])
    def test_is_a_line_until_it_is_opened(self, visit, gate, width):
        """And fits on a phone, opened as well."""
        editor = visit("editor1", viewport={"width": width, "height": 800})
        editor.import_countries(10)
        line = editor.page.locator(f"{VIEWLET} summary")
        expect(line).to_contain_text("1 running")
        expect(line).to_contain_text("Import of 10 countries")
        height = editor.page.evaluate(HEIGHT, VIEWLET)
        assert 0 < height <= 60
        the_task(editor)
        assert editor.page.evaluate("document.documentElement.scrollWidth") == width
        editor.open("countries")
        expect(the_task(editor)).to_be_visible()

    def test_all_tabs_show_the_same(self, editor, gate):
        """A page without tasks asks nothing until a task is scheduled somewhere."""
        editor.open("countries")
        page = editor.page
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        other = Person(editor.context, editor.url)
        other.open("countries/@@import-countries")
        assert [url for url in asked if "@@background-tasks" in url] == []
        other.import_countries(5)
        expect(page.locator(f"{VIEWLET} summary")).to_contain_text("1 running")
        gate.open()
        expect_state(the_task(other), "succeeded")
        expect_state(the_task(editor), "succeeded")
        button(tasks(other), "Dismiss").click()
        expect(page.locator(VIEWLET)).to_have_count(0)
        expect(other.page.locator(VIEWLET)).to_have_count(0)

    def test_a_page_finds_what_its_own_request_has_scheduled(self, editor):
        editor.open("countries")
        expect(editor.page.locator(VIEWLET)).to_have_count(0)
        editor.page.evaluate(SCHEDULE, f"{editor.url}/++api++/countries")
        expect(editor.page.locator(VIEWLET)).to_contain_text("1 done")

    def test_the_cookie_of_a_site_above_is_no_news(self, editor):
        """It cannot be taken away: whoever asks because of it asks for ever."""
        editor.open("countries")
        page = editor.page
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate("document.cookie = 'background_tasks=new; path=/'")
        for _ in range(3):
            page.evaluate("(url) => fetch(url).then((it) => it.text())", editor.url)
        assert [url for url in asked if "@@background-tasks" in url] == []

    def test_says_that_the_server_does_not_answer(self, importing, gate):
        page = importing.page
        the_task(importing)
        notice = page.locator(f"{VIEWLET} [role=alert]")
        page.route("**/@@background-tasks?*", lambda route: route.abort())
        expect(notice).to_have_text("The server does not answer. Trying again …")
        assert notice.evaluate("(it) => getComputedStyle(it).animationName") == "none"
        page.unroute("**/@@background-tasks?*")
        expect(notice).to_be_hidden()
        gate.open()
        expect_state(the_task(importing), "succeeded")

    def test_says_that_the_session_is_over(self, importing):
        the_task(importing)
        importing.context.clear_cookies()
        notice = importing.page.locator(f"{VIEWLET} [role=alert]")
        expect(notice).to_contain_text("You are logged out.")
        notice.get_by_role("link", name="Log in").click()
        expect(importing.page.locator("#__ac_name")).to_be_visible()

    def test_says_that_a_task_is_no_longer_known(self, importing):
        """As after a crash of the server."""
        expect(the_task(importing)).to_be_visible()
        importing.page.route(
            "**/@@background-tasks?*", lambda route: route.fulfill(body="")
        )
        notice = importing.page.locator(f"{VIEWLET} [role=alert]")
        expect(notice).to_have_text(
            "“Import of 15 countries” is no longer known: the server was restarted."
        )
        expect(tasks(importing)).to_have_count(0)

    def test_what_has_gone_while_nobody_looked_is_not_said_to_be_unknown(
        self, importing
    ):
        """It may have ended long ago."""
        expect(the_task(importing)).to_be_visible()
        page = importing.page
        page.evaluate(SET_HIDDEN, True)
        page.route("**/@@background-tasks?*", lambda route: route.fulfill(body=""))
        page.evaluate(SET_HIDDEN, False)
        expect(page.locator(VIEWLET)).to_have_count(0)

    def test_a_strict_policy_refuses_nothing(self, strict, importing, gate, colleague):
        """But for what it refuses in Plone's own pages as well."""
        colleague.open("countries")
        plones = colleague.refused()
        gate.open()
        expect_state(the_task(importing), "succeeded")
        expect(importing.page.locator("#content-core")).to_contain_text(LAST)
        expect(importing.page.locator(f"{VIEWLET} [style]")).to_have_count(0)
        assert importing.refused() - plones == set()
