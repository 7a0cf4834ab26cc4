"""All pages, as editors and managers have them on a phone and on a desk.

They have no barriers that axe finds, and fit. On the phone in German: its words are
longer.
"""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from helpers import finished
from helpers import TIMEOUT
from plone import api
from plone.app.testing import SITE_OWNER_NAME
from threading import Event

import pytest
import transaction


pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 375, "height": 800}, "locale": "de-DE"}
DESK = {"viewport": {"width": 1280, "height": 800}, "locale": "en-US"}
TITLE = "An import of all countries of the world, with their capitals"

OWN = "@@background-tasks"
TASKS = "@@background-tasks-controlpanel"
PANEL = (
    TASKS,
    f"{TASKS}?text=nothing",
    "@@background-tasks-many?action=cancel",
    "@@background-tasks-activity",
    "@@background-tasks-statistics",
    "@@background-tasks-recurring",
    "@@background-tasks-settings",
    "@@background-tasks-storage",
)
# Whether nothing of an element is cut off by the one around it.
IS_SHOWN = """
(element) => {
  const [inner, outer] = [element, element.parentElement].map((each) =>
    each.getBoundingClientRect());
  return inner.right <= outer.right + 1 && inner.bottom <= outer.bottom + 1;
}
"""
ARE_ON_SCREEN = """
(elements) =>
  elements.every((each) => each.getBoundingClientRect().right <= window.innerWidth)
"""
LANGUAGE = "document.documentElement.lang"
WIDTH = "document.documentElement.scrollWidth"


def fail(item=None):
    raise ValueError("aVeryLongTextWithoutAnySpaceInItThatCannotBeBrokenAnywhere" * 2)


def fail_for(item):
    if item == "bad":
        fail()


@pytest.fixture(params=[PHONE, DESK], ids=["phone-de", "desk-en"])
def device(request, demo):
    """The options of a browser, in whose language the site answers."""
    for name, value in (
        ("available_languages", ["en", "de"]),
        ("use_request_negotiation", True),
    ):
        api.portal.set_registry_record(f"plone.{name}", value)
    return request.param


@pytest.fixture
def ids(demo):
    """Ids of an editor's tasks, by what has become of them."""
    begun, free = Event(), Event()

    def hold():
        current_task().progress(1, 3, "Afghanistan")
        current_task().message("It takes its time")
        begun.set()
        assert free.wait(TIMEOUT)

    scheduler = get_scheduler()
    scheduler.pause("imports")
    with api.env.adopt_user("editor1"):
        failed = using(title=TITLE).schedule(fail, "something")
        partial = using(title=TITLE).schedule_batch(fail_for, ["good", "bad"])
        with group(title=TITLE) as whole:
            schedule(int)
        for id in (failed, partial, whole.id):
            finished(id)
        running = using(title=TITLE, context=demo["portal"]["countries"]).schedule(hold)
        using(title=TITLE, queue="imports").schedule(int)
    transaction.commit()
    assert begun.wait(TIMEOUT)
    yield {"failed": failed, "partial": partial, "group": whole.id, "running": running}
    free.set()
    scheduler.resume("imports")
    scheduler.wait_all(TIMEOUT)


def troubles(person, axe, part):
    """Return what is wrong with a page: a list; ``part``: a CSS selector."""
    found = person.inaccessible(axe, part)
    width = person.page.evaluate(WIDTH)
    if width != person.page.viewport_size["width"]:
        found.append(f"it is {width} pixels wide")
    return found


# One class: the layer is set up once for it.
class TestPages:
    def test_of_an_editor(self, visit, device, ids, axe):
        editor = visit("editor1", **device)
        editor.open("countries")
        editor.page.locator("#background-tasks summary").click()
        editor.page.locator(f"[data-task-id='{ids['running']}']").wait_for()
        failed = editor.page.locator("summary [data-count=failed]")
        assert editor.page.evaluate(IS_SHOWN, failed.element_handle())
        found = {"tray": troubles(editor, axe, "#background-tasks")}
        for path in (OWN, f"@@background-failures/{ids['partial']}"):
            editor.open(path)
            found[path] = troubles(editor, axe, "#content")
        assert found == {path: [] for path in found}

    def test_of_a_manager(self, visit, device, ids, axe):
        manager = visit(SITE_OWNER_NAME, **device)
        manager.open(TASKS)
        states = manager.page.locator("#background-tasks-list td > .badge")
        assert states.evaluate_all(ARE_ON_SCREEN)
        found = {}
        for path in (*PANEL, *(f"@@background-task/{id}" for id in ids.values())):
            manager.open(path)
            found[path] = troubles(manager, axe, "#content")
        assert found == {path: [] for path in found}
        assert device["locale"].startswith(manager.page.evaluate(LANGUAGE))
