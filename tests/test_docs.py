"""The examples of the documentation do what they say."""

from collective.background import message
from collective.background import track
from collective.background.interfaces import IRecurringTask
from collective.background.recurring.registration import RecurringTask
from collective.background.recurring.schedules import make_schedule
from collective.background.testing import drain
from docutils.core import publish_string
from http.server import BaseHTTPRequestHandler
from http.server import HTTPServer
from io import StringIO
from pathlib import Path
from plone import api
from plone.app.testing import setRoles
from plone.app.testing import TEST_USER_ID
from zope.component import getGlobalSiteManager

import doctest
import pytest
import threading
import transaction


DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted([*DOCS.parent.glob("*.rst"), *DOCS.glob("*.rst")])
CHAPTERS = [path for path in sorted(DOCS.glob("*.rst")) if ">>>" in path.read_text()]


def import_row(name, folder):
    if not name:
        raise ValueError("a row has no name")
    api.content.create(folder, "Document", name)


def import_rows(folder, rows):
    for name in rows:
        import_row(name, folder)


def count_slowly(total):
    for _number in track(range(total)):
        pass
    message("counted")


def tidy():
    """A recurring task."""


def tell(record):
    """A callback."""


def refresh():
    """See what other threads have committed."""
    transaction.begin()


class Hook(BaseHTTPRequestHandler):
    """Answers to every POST."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        """Not to the output of the tests."""


@pytest.fixture
def hook_url():
    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def recurring_task(functional):
    task = RecurringTask(
        name="my.addon.tidy",
        title="Tidy up",
        function=tidy,
        schedule=make_schedule("0 3 * * *"),
        user="admin",
        add_on="collective.background",
    )
    site_manager = getGlobalSiteManager()
    site_manager.registerUtility(task, IRecurringTask, task.name)
    yield
    site_manager.unregisterUtility(provided=IRecurringTask, name=task.name)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.name)
def test_chapter(functional, chapter, hook_url, recurring_task):
    portal = functional["portal"]
    setRoles(portal, TEST_USER_ID, ["Manager"])
    folder = api.content.create(portal, "Folder", "folder")
    transaction.commit()
    names = {
        "count_slowly": count_slowly,
        "folder": folder,
        "hook_url": hook_url,
        "import_row": import_row,
        "import_rows": import_rows,
        "portal_url": portal.absolute_url(),
        "refresh": refresh,
        "tell": tell,
        "transaction": transaction,
        "user_id": TEST_USER_ID,
    }
    results = doctest.testfile(
        str(chapter),
        module_relative=False,
        globs=names,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    drain()
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_is_valid(path):
    """Else PyPI does not show it, and others leave a table out."""
    troubles = StringIO()
    settings = {"report_level": 2, "warning_stream": troubles}
    publish_string(path.read_text(), writer_name="null", settings_overrides=settings)
    assert troubles.getvalue() == ""
