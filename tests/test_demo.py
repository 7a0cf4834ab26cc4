"""The example add-on, as its editors use it: over HTTP."""

from collective.background import get_scheduler
from collective.background import schedule_batch
from collective.background.recurring import listing
from collective.background.recurring import run_now
from collective.background.testing import drain
from collective.background.testing import scheduled
from concurrent.futures import ThreadPoolExecutor
from countries_demo.database import Country
from countries_demo.database import open_database
from countries_demo.database import Session
from countries_demo.database import Subdivision
from countries_demo.importing import import_country
from countries_demo.interfaces import ICountry
from countries_demo.testing import EDITORS
from countries_demo.testing import Server
from helpers import finished
from helpers import make_room_for_blobs
from helpers import TIMEOUT
from http.server import BaseHTTPRequestHandler
from http.server import HTTPServer
from plone import api
from plone.app.testing import SITE_OWNER_NAME
from plone.app.testing import SITE_OWNER_PASSWORD
from sqlalchemy import func
from sqlalchemy import select
from zope.component import getGlobalSiteManager
from zope.i18n import translate
from zope.lifecycleevent.interfaces import IObjectAddedEvent

import csv
import json
import pycountry
import pytest
import re
import requests
import threading
import transaction


IMPORT = "countries/@@import-countries"
RUN_VIEW = "countries/@@run-view"
POST = "countries/@@post-to-address"
TASKS = "countries/@@background-tasks"


def expected(number):
    """The first countries by name, as pycountry knows them."""
    return sorted(pycountry.countries, key=lambda country: country.name)[:number]


def ids(number):
    return {country.alpha_3.lower() for country in expected(number)}


class Visitor:
    """A browser, so to speak, of a user (None: an anonymous one)."""

    def __init__(self, layer, name=None, password=None):
        portal = layer["portal"].getId()
        self.site_url = f"http://{layer['host']}:{layer['port']}/{portal}"
        self._auth = name and (name, password)

    def get(self, path, **params):
        return self._send("GET", path, params=params)

    def post(self, path, **fields):
        return self._send("POST", path, data=fields)

    def _send(self, method, path, **data):
        url = self.url(path)
        return requests.request(method, url, auth=self._auth, timeout=TIMEOUT, **data)

    def form(self, path, **fields):
        """Fetch a form and return it filled in: the fields to send."""
        page = self.get(path).text
        token = re.search(r'name="_authenticator" value="([0-9a-f]+)"', page)[1]
        widgets = {f"form.widgets.{name}": value for name, value in fields.items()}
        return {**widgets, "_authenticator": token, "form.buttons.start": "Start"}

    def submit(self, path, **fields):
        return self.post(path, **self.form(path, **fields))

    def send(self, path, form):
        """Send a form, without a look at the page that follows."""
        return self._send("POST", path, data=form, allow_redirects=False)

    def url(self, path):
        return f"{self.site_url}/{path}"


@pytest.fixture
def editor(demo):
    make_room_for_blobs(demo["portal"])
    return Visitor(demo, "editor1", EDITORS["editor1"])


@pytest.fixture
def colleague(demo):
    return Visitor(demo, "editor2", EDITORS["editor2"])


@pytest.fixture
def manager(demo):
    return Visitor(demo, SITE_OWNER_NAME, SITE_OWNER_PASSWORD)


@pytest.fixture
def folder(demo):
    return demo["portal"]["countries"]


@pytest.fixture
def paused_imports(demo):
    """Nothing starts in the queue until the test resumes it."""
    get_scheduler().pause("imports")
    yield
    get_scheduler().resume("imports")


@pytest.fixture
def meeting(demo):
    """Lets two transactions meet: each has added a country when they go on.

    So they conflict. A list of the ids of all that were added, also in vain.
    """
    added = []
    barrier = threading.Barrier(2, timeout=TIMEOUT)

    def meet(content, event):
        added.append(content.getId())
        if len(added) <= 2:
            barrier.wait()

    manager = getGlobalSiteManager()
    manager.registerHandler(meet, (ICountry, IObjectAddedEvent))
    yield added
    manager.unregisterHandler(meet, (ICountry, IObjectAddedEvent))


@pytest.fixture
def web_server():
    """A server that remembers what was posted to it: ``url`` and ``received``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            self.server.received.append(json.loads(self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            """Not to the standard error."""

    with HTTPServer(("localhost", 0), Handler) as server:
        server.received = []
        server.url = f"http://localhost:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# One class: the layer is set up once for it, and torn down at its end.
class TestDemo:
    def test_database_has_all_countries_and_subdivisions(self, demo):
        def count(column):
            return Session.scalar(select(func.count(column)))

        assert count(Country.alpha_2) == len(pycountry.countries)
        assert count(Subdivision.code) == len(pycountry.subdivisions)

    def test_its_server_does_not_need_the_port_that_it_had(self, demo):
        server = Server()
        server.setUp()
        last, port = server.server, server.port
        server.setUp()
        assert server.port != port
        server.tearDown()
        last.shutdown()

    def test_database_is_filled_once(self, tmp_path):
        engines = [open_database(f"sqlite:///{tmp_path}/new.sqlite") for _ in "12"]
        with engines[1].connect() as connection:
            number = connection.scalar(select(func.count(Country.alpha_2)))
        assert number == len(pycountry.countries)
        for engine in engines:
            engine.dispose()

    def test_database_is_filled_by_one_of_those_that_start_at_once(self, tmp_path):
        url = f"sqlite:///{tmp_path}/new.sqlite"
        with ThreadPoolExecutor(4) as pool:
            engines = list(pool.map(open_database, [url] * 4))
        with engines[0].connect() as connection:
            number = connection.scalar(select(func.count(Country.alpha_2)))
        assert number == len(pycountry.countries)
        for engine in engines:
            engine.dispose()

    def test_many_are_created_in_the_background(self, editor, folder, paused_imports):
        """The answer does not wait for them; then they belong to the editor."""
        answer = editor.submit(IMPORT, number=10)
        assert answer.url == editor.url("countries")
        assert 'data-count="queued"' in answer.text
        listed = editor.get("countries/@@background-tasks").text
        assert "Import of 10 countries" in listed
        assert 'data-task-state="queued"' in listed
        transaction.begin()
        assert folder.objectIds() == []

        get_scheduler().resume("imports")
        drain()
        assert set(folder.objectIds()) == ids(10)
        assert {country.Creator() for country in folder.objectValues()} == {"editor1"}
        assert {country.getOwner().getId() for country in folder.objectValues()} == {
            "editor1"
        }
        brains = api.content.find(context=folder, portal_type="Country")
        assert {brain.getPath() for brain in brains} == {
            f"/plone/countries/{country_id}" for country_id in ids(10)
        }

    def test_names_are_updated_every_night(self, editor, folder):
        """A person can have it done at once, and the name of the user is known."""
        editor.submit(IMPORT, number=2)
        transaction.begin()
        changed, _other = folder.objectValues()
        name = changed.title
        changed.title = "Atlantis"
        changed.reindexObject()
        (nightly,) = [
            task
            for task in listing()
            if task.name == "countries_demo.upkeep.update_countries"
        ]
        record = finished(run_now(nightly.name))
        assert (record.title, record.user_id) == ("Update the countries", "admin")
        assert record.state == "succeeded", record
        assert record.progress.done == 2
        assert "1" in translate(record.messages[0].text)
        assert changed.title == name
        assert [b.Title for b in api.content.find(id=changed.id)] == [name]

    def test_few_are_there_when_the_answer_arrives(
        self, editor, folder, paused_imports
    ):
        answer = editor.submit(IMPORT, number=2)
        assert 'data-count="succeeded"' in answer.text
        transaction.begin()
        assert set(folder.objectIds()) == ids(2)
        assert folder["afg"].Creator() == "editor1"

    def test_country_and_its_table(self, editor, folder):
        """They are found under their addresses, and say what ISO 3166 says."""
        editor.submit(IMPORT, number=1)
        transaction.begin()
        iso = pycountry.countries.get(alpha_3="AFG")
        content = folder["afg"]
        assert (content.title, content.flag) == (iso.name, iso.flag)
        assert (content.alpha_2, content.alpha_3) == (iso.alpha_2, iso.alpha_3)
        assert content.numeric == iso.numeric
        assert content.official_name == iso.official_name
        assert iso.official_name in editor.get("countries/afg").text

        table = editor.get("countries/afg/subdivisions.csv")
        assert table.headers["content-type"].startswith("text/csv")
        rows = csv.DictReader(table.content.decode("utf-8").splitlines())
        assert list(rows) == [
            {
                "code": item.code,
                "name": item.name,
                "type": item.type,
                "parent": item.parent_code or "",
            }
            for item in sorted(
                pycountry.subdivisions.get(country_code="AF"),
                key=lambda item: item.code,
            )
        ]

    @pytest.mark.parametrize("number", [2, 10])
    def test_two_editors_at_once(self, editor, colleague, folder, meeting, number):
        """At once or in the background: every country is there exactly once."""
        # No page is rendered meanwhile: two threads that compile templates at the
        # same time fail now and then with Python 3.11 before 3.11.8.
        threads = [
            threading.Thread(
                target=visitor.send, args=(IMPORT, visitor.form(IMPORT, number=number))
            )
            for visitor in (editor, colleague)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        drain()
        assert set(folder.objectIds()) == ids(number)
        brains = api.content.find(context=folder, portal_type="Country")
        assert len(brains) == number
        assert {tuple(country.objectIds()) for country in folder.objectValues()} == {
            ("subdivisions.csv",)
        }
        states = [record.state for record in get_scheduler().records()]
        assert states == ["succeeded", "succeeded"]
        # They did conflict: something was added in vain.
        assert len(meeting) > number

    @pytest.mark.parametrize("number", [2, 10])
    def test_importing_again_changes_nothing(self, editor, folder, number):
        editor.submit(IMPORT, number=number)
        drain()
        before = {content.UID() for content in folder.objectValues()}
        editor.submit(IMPORT, number=number)
        drain()
        assert {content.UID() for content in folder.objectValues()} == before
        assert len(before) == number

    def test_what_cannot_be_imported_spoils_nothing_else(self, demo, folder):
        """Although SQLite cannot undo the work of one item alone."""
        with api.env.adopt_user("editor1"):
            task_id = schedule_batch(import_country, ["AF", "XX", "AL"], folder)
            record = finished(task_id)
        assert record.state == "succeeded"
        result, _ = get_scheduler().get_result(task_id)
        assert result.done == 2
        assert [(item.index, item.item) for item in result.failures] == [(1, "XX")]
        assert folder.objectIds() == ["afg", "alb"]

    @pytest.mark.parametrize("number", ["0", "-1", "250", "many", ""])
    def test_impossible_numbers(self, editor, folder, number):
        with scheduled() as records:
            answer = editor.submit(IMPORT, number=number)
        assert "There were some errors." in answer.text
        assert answer.url == editor.url(IMPORT)
        assert records == []
        transaction.begin()
        assert folder.objectIds() == []

    @pytest.mark.parametrize("path", [IMPORT, RUN_VIEW, POST])
    def test_needs_the_token_of_the_form(self, manager, path):
        """So no other site can have the visitor schedule something."""
        fields = {"number": 10, "name": "folder_contents", "url": "http://localhost"}
        form = manager.form(path, **fields)
        del form["_authenticator"]
        with scheduled() as records:
            assert manager.post(path, **form).status_code == 403
        assert records == []

    @pytest.mark.parametrize("path", [IMPORT, RUN_VIEW, POST])
    def test_needs_a_post(self, manager, path):
        fields = {"number": 10, "name": "folder_contents", "url": "http://localhost"}
        form = manager.form(path, **fields)
        with scheduled() as records:
            assert manager.get(path, **form).status_code == 403
        assert records == []

    @pytest.mark.parametrize("path", [IMPORT, RUN_VIEW, POST])
    def test_not_for_anonymous_visitors(self, demo, path):
        visitor = Visitor(demo)
        fields = {"form.widgets.number": 10, "form.buttons.start": "Start"}
        for answer in (visitor.get(path), visitor.post(path, **fields)):
            assert answer.url.startswith(visitor.url("login?"))

    @pytest.mark.parametrize("path", [IMPORT, RUN_VIEW])
    def test_not_where_the_user_may_not_add(self, demo, folder, colleague, path):
        api.user.revoke_roles(
            username="editor2", roles=["Contributor", "Editor"], obj=folder
        )
        transaction.commit()
        assert colleague.get("countries").status_code == 200
        assert "insufficient-privileges" in colleague.get(path).url

    def test_posting_is_not_for_editors(self, editor):
        """They could reach what is inside of the server's firewall."""
        assert "insufficient-privileges" in editor.get(POST).url

    def test_tasks_of_others_are_not_shown(self, editor, colleague):
        editor.submit(IMPORT, number=2)
        assert "Import of 2 countries" in editor.get(TASKS).text
        assert "Import of 2 countries" not in colleague.get(TASKS).text

    def test_what_users_write_is_escaped(self, editor):
        name = "<script>alert(1)</script>"
        page = editor.submit(RUN_VIEW, name=name).text
        drain()
        page += editor.get("countries").text + editor.get(TASKS).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert name not in page

    def test_view_runs_with_the_permissions_of_the_user(self, editor):
        for name in ("folder_contents", "@@post-to-address"):
            editor.submit(RUN_VIEW, name=name)
        drain()
        refused, allowed = get_scheduler().records()
        assert allowed.state == "succeeded"
        assert refused.error.type.endswith("Unauthorized")
        assert "An error has happened" in editor.get(TASKS).text

    def test_what_is_no_view_is_refused_at_once(self, editor):
        with scheduled() as records:
            answer = editor.submit(RUN_VIEW, name="..")
        assert "is not the name of a view" in answer.text
        assert records == []

    def test_posts_after_the_commit(self, manager, web_server):
        manager.submit(POST, url=web_server.url)
        drain()
        (record,) = get_scheduler().records()
        assert record.state == "succeeded"
        address = manager.url("countries")
        assert web_server.received == [
            {"title": "Countries", "address": address, "items": 0}
        ]

    @pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://localhost/"])
    def test_posts_to_web_servers_only(self, manager, url):
        with scheduled() as records:
            answer = manager.submit(POST, url=url)
        assert "is not the address of a web server" in answer.text
        assert records == []
