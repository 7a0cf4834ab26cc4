"""A real browser on a real server: Chromium, driven by Playwright.

The server is that of the example add-on's layer, in this process. So a test can hold
a task where it wants it to be, with ``gate``, and nothing depends on time.

Without Chromium these tests are skipped, and without axe-core (see package.json)
those of accessibility. With ``CI=true`` in the environment, as in ``.ci/run``, they
fail instead.
"""

from collective.background import get_scheduler
from countries_demo.interfaces import ICountry
from countries_demo.testing import COUNTRIES_DEMO_SERVER
from countries_demo.testing import EDITORS
from helpers import needed
from pathlib import Path
from people import Person
from playwright.sync_api import expect
from playwright.sync_api import sync_playwright
from plone.app.testing import SITE_OWNER_NAME
from plone.app.testing import SITE_OWNER_PASSWORD
from zope.component import getGlobalSiteManager
from zope.lifecycleevent.interfaces import IObjectAddedEvent
from ZPublisher.interfaces import IPubBeforeCommit

import pytest
import shutil
import threading


TIMEOUT = 30  # seconds; far more than anything takes on a busy machine
PASSWORDS = {**EDITORS, SITE_OWNER_NAME: SITE_OWNER_PASSWORD}
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
# No sandbox, since tests often run as root; nothing that asks the internet.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# Nothing inline, and nothing from elsewhere; images that Plone's style sheet brings.
STRICT_POLICY = (
    "default-src 'none'; script-src 'self' 'report-sample'; "
    "style-src 'self' 'report-sample'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'self'"
)

expect.set_options(timeout=TIMEOUT * 1000)


@pytest.fixture(scope="session")
def chromium():
    """The browser. Each visitor has a profile of his own in it."""
    path = needed(shutil.which("chromium"), "Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=CHROMIUM_ARGUMENTS
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core."""
    return needed(AXE.is_file() and AXE, "axe-core (npm ci)").read_text()


def end_requests():
    """Wait for what the server still does for browsers that are closed.

    The database of the test is closed after it: a request that is still under way
    would leave its thread with objects of it, and every later request there fails.
    """
    dispatcher = COUNTRIES_DEMO_SERVER.server.task_dispatcher
    number = len(dispatcher.threads)
    dispatcher.shutdown(timeout=TIMEOUT)
    dispatcher.set_thread_count(number)


@pytest.fixture
def visit(demo, chromium):
    """Return a function that logs a user in, in a browser profile of his own.

    It returns a Person. ``options`` are those of Playwright's ``new_context``. The
    test fails if a script of a page did.
    """
    url = f"http://{demo['host']}:{demo['port']}/{demo['portal'].getId()}"
    people = []

    def visit(user, **options):
        # Without transitions, so that colours are what they will be at once.
        context = chromium.new_context(
            base_url=f"{url}/", reduced_motion="reduce", **options
        )
        context.set_default_timeout(TIMEOUT * 1000)
        person = Person(context, url)
        people.append(person)
        person.log_in(user, PASSWORDS[user])
        return person

    yield visit
    for person in people:
        person.context.close()
    end_requests()
    assert [error for person in people for error in person.errors] == []


@pytest.fixture
def editor(visit):
    return visit("editor1")


@pytest.fixture
def colleague(visit):
    return visit("editor2")


@pytest.fixture
def manager(visit):
    return visit(SITE_OWNER_NAME)


class Gate:
    """Imports wait here before each country, until they are let through."""

    def __init__(self):
        self._arrived = threading.Semaphore(0)
        self._free = threading.Semaphore(0)
        self._is_open = False
        self._next = 1  # whom nobody has waited for yet

    def let(self, number):
        """Let so many countries through, and wait until the next one has come."""
        for _ in range(number):
            self._free.release()
        for _ in range(number + self._next):
            if not self._arrived.acquire(timeout=TIMEOUT):
                raise TimeoutError(f"less than {number + 1} countries have come")
        self._next = 0

    def open(self):
        """Let everybody through from now on."""
        self._is_open = True
        self._free.release()

    def __call__(self, content, event):
        self._arrived.release()
        if not self._free.acquire(timeout=TIMEOUT):
            raise TimeoutError("the test did not open the gate")
        if self._is_open:
            self._free.release()


@pytest.fixture
def gate(demo):
    gate = Gate()
    components = getGlobalSiteManager()
    components.registerHandler(gate, (ICountry, IObjectAddedEvent))
    yield gate
    gate.open()
    get_scheduler().wait_all(TIMEOUT)
    components.unregisterHandler(gate, (ICountry, IObjectAddedEvent))


@pytest.fixture
def strict(demo):
    """Every page has a strict Content-Security-Policy."""

    def set_policy(event):
        response = event.request.response
        response.setHeader("Content-Security-Policy", STRICT_POLICY)

    components = getGlobalSiteManager()
    components.registerHandler(set_policy, (IPubBeforeCommit,))
    yield
    components.unregisterHandler(set_policy, (IPubBeforeCommit,))
