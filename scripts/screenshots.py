"""Makes the pictures in docs/images/, of the running example add-on.

Run with ``make screenshots``; it needs Chromium. The site is a new one, which is gone
afterwards. What is seen has happened in it, but for the pictures of activity: a day
is made up for them.
"""

from benchmarks.instance import instance
from benchmarks.instance import PASSWORD
from benchmarks.instance import server
from benchmarks.instance import USER
from contextlib import contextmanager
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from pathlib import Path
from playwright.sync_api import sync_playwright

import math
import random
import shutil
import threading


IMAGES = Path(__file__).parent.parent / "docs" / "images"
DESK = {"viewport": {"width": 1280, "height": 720}, "locale": "en-US"}
PHONE = {"viewport": {"width": 375, "height": 667}, "locale": "de-DE"}
TIMEOUT = 60  # seconds
CHROMIUM = {
    "executable_path": shutil.which("chromium"),
    "args": ["--no-sandbox", "--disable-gpu"],
}


def main():
    with instance() as application, server(application) as port, browser() as chromium:
        url = f"http://localhost:{port}/Plone"
        add_german()
        editor = log_in(chromium, url, USER, PASSWORD, DESK)
        with held_after(128):
            use_the_example(editor)
            take(editor, "viewlet")
            take_control_panel(log_in(chromium, url, "admin", "admin", DESK))
            phone = log_in(chromium, url, USER, PASSWORD, PHONE)
            open_tray(phone)
            take(phone, "viewlet-phone")
            phone = log_in(chromium, url, "admin", "admin", PHONE)
            phone.goto("@@background-tasks-controlpanel")
            take(phone.locator("#content-core"), "controlpanel-phone")
            stop_tasks()


@contextmanager
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(**CHROMIUM)
        yield chromium
        chromium.close()


def add_german():
    """Let the site answer in the language of the browser."""
    from benchmarks.site import as_editor
    from plone import api

    import transaction

    with as_editor():
        languages = ["en", "de"]
        api.portal.set_registry_record("plone.available_languages", languages)
        api.portal.set_registry_record("plone.use_request_negotiation", True)
        transaction.commit()


def log_in(chromium, url, user, password, device):
    """Return a page in a browser profile of the user; ``device``: options of it."""
    page = chromium.new_page(base_url=f"{url}/", **device)
    page.set_default_timeout(TIMEOUT * 1000)
    page.goto("login")
    page.fill("#__ac_name", user)
    page.fill("#__ac_password", password)
    page.click("button[name='buttons.login']")
    return page


@contextmanager
def held_after(number):
    """Within the block, imports create so many countries, and then wait."""
    from collective.background import get_scheduler
    from countries_demo.interfaces import ICountry
    from zope.component import getGlobalSiteManager
    from zope.lifecycleevent.interfaces import IObjectAddedEvent

    free = threading.Semaphore(number)
    is_over = threading.Event()

    def wait(content, event):
        if not is_over.is_set():
            free.acquire()

    getGlobalSiteManager().registerHandler(wait, (ICountry, IObjectAddedEvent))
    try:
        yield
    finally:
        is_over.set()
        free.release()
        get_scheduler().wait_all(TIMEOUT)


def submit(page, view, **fields):
    page.goto(f"countries/@@{view}")
    for name, value in fields.items():
        page.fill(f"[name='form.widgets.{name}']", str(value))
    page.click("[name='form.buttons.start']")


def use_the_example(page):
    """Let one task be done, one fail, one wait in the middle, and one wait for it."""
    submit(page, "run-view", name="folder_contents")
    submit(page, "run-view", name="yearly-report")
    submit(page, "import-countries", number=249)
    submit(page, "import-countries", number=20)
    open_tray(page)


def open_tray(page):
    page.goto("countries")
    page.locator("#background-tasks summary").click()
    page.locator("[data-task-state=running]").get_by_text("125 / 249").wait_for()


def take_control_panel(page):
    page.goto("@@background-tasks-controlpanel")
    take(page.locator("#content"), "controlpanel")
    make_up_a_day()
    page.goto("@@background-tasks-activity")
    take(page.locator("#content"), "activity")


def stop_tasks():
    """Before the database is closed."""
    from collective.background import get_scheduler

    for record in get_scheduler().records(states=["queued", "running"]):
        get_scheduler().cancel(record.id)


def make_up_a_day():
    """Add to the history what a busy site could have had: more tasks at day-time."""
    from collective.background import get_scheduler
    from collective.background.interfaces import IHistory
    from dataclasses import replace
    from zope.component import getUtility

    chance = random.Random(1)
    history = getUtility(IHistory)
    (model,) = get_scheduler().records(states="succeeded", limit=1)
    now = datetime.now(UTC)
    for minutes in range(24 * 60, 0, -1):
        load = 1 + math.sin(math.pi * minutes / (12 * 60))
        for _ in range(chance.randint(0, round(2 * load))):
            begin = now - timedelta(minutes=minutes)
            wait = timedelta(seconds=chance.expovariate(1 / load))
            state = chance.choices(["succeeded", "failed", "cancelled"], [30, 2, 1])[0]
            record = replace(
                model, created=begin, started=begin + wait, finished=begin + wait
            )
            history.add(replace(record, state="running", attempts=1, finished=None))
            history.add(replace(record, state=state))


def take(what, name):
    what.screenshot(path=IMAGES / f"{name}.png")


main()
