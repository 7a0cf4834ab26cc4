"""What visitors and clients are told when no more tasks are taken."""

from bs4 import BeautifulSoup
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database.installing import install
from collective.background.interfaces import ITaskScheduled
from collective.background.testing import serving
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from plone.protect.interfaces import IDisableCSRFProtection
from Products.Five import BrowserView
from requests import HTTPError
from sessions import PREFER
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from zope.interface import alsoProvides

import pytest
import transaction


VIEWS = f"""
<configure xmlns:browser="http://namespaces.zope.org/browser">
  <include package="Products.Five.browser" file="meta.zcml" />
  <browser:page
      name="schedule" for="*" class="{__name__}.Schedule" permission="zope2.View" />
</configure>
"""
HTML = {"Accept": "text/html"}
COPY = {"method": "POST", "url": "target/@copy", "json": {"source": "/folder/inner"}}


class Schedule(BrowserView):
    def __call__(self):
        alsoProvides(self.request, IDisableCSRFProtection)
        schedule(len, "four")
        api.portal.show_message("It has begun", self.request)
        self.request.response.redirect(self.context.absolute_url())


@pytest.fixture
def view(functional, folder):
    """The name of a view that schedules something."""
    with in_site(None):
        xmlconfig.string(VIEWS, context=functional["configurationContext"])
    return "folder/schedule"


@pytest.fixture
def paused(tier):
    get_scheduler().pause("default")
    transaction.begin()
    yield
    transaction.abort()
    get_scheduler().resume("default")
    get_scheduler().wait_all(TIMEOUT)


@pytest.fixture
def full(paused, settings):
    """A waiting room with a single place, which is taken."""
    schedule(len, "three")
    transaction.commit()
    settings(max_waiting=1)


@pytest.fixture
def stopping(make_scheduler, site):
    """The process is about to stop."""
    make_scheduler().stop()


def count():
    transaction.begin()
    return get_scheduler().count()


class TestPages:
    def test_a_friendly_one(self, full, view, editor):
        answer = editor.get(view, headers=HTML)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "Location" not in answer.headers
        page = BeautifulSoup(answer.text, "lxml")
        assert page.h1.text == "The server takes no more tasks now"
        assert page.select_one("#portal-top")  # with all that is around it
        assert "It has begun" not in answer.text
        assert "It has begun" not in editor.get("", headers=HTML).text
        assert count() == 1

    def test_for_scripts(self, full, view, editor):
        answer = editor.get(view, headers={"Accept": "*/*"})
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json() == {"error_type": "QueueFull"}

    def test_outside_of_sites(self, make_scheduler, view, server, editor):
        make_scheduler(max_waiting=1)
        with waiting():
            schedule(len, "three")
            transaction.commit()
            answer = editor.get(f"{server}/schedule", headers=HTML)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0

    def test_of_a_process_that_is_about_to_stop(self, stopping, view, editor):
        answer = editor.get(view, headers=HTML)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0

    def test_so_it_is_in_the_database(self, site, view, editor):
        install(site)
        transaction.commit()
        with serving() as watch:
            watch.stop()
            answer = editor.get(view, headers=HTML)
        assert answer.status_code == 503


class TestRest:
    def test_a_retry(self, tier, settings, editor):
        with api.env.adopt_user(username="editor1"):
            task_id = schedule(int, "no number")
        finished(task_id)
        with waiting():
            schedule(len, "three")
            transaction.commit()
            settings(max_waiting=1)
            answer = editor.patch(f"@tasks/{task_id}", json={"retry": True})
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["type"] == "QueueFull"
        assert "max_waiting" in answer.json()["message"]

    def test_respond_async_is_ignored(self, tree, full, editor):
        """It is a preference only; the call is made at once."""
        answer = editor.request(**COPY, headers=PREFER)
        assert answer.status_code == 200
        assert "Preference-Applied" not in answer.headers
        assert count() == 1
        assert "inner" in api.portal.get()["target"]

    def test_so_it_is_before_the_process_stops(self, tree, stopping, editor):
        answer = editor.request(**COPY, headers=PREFER)
        assert answer.status_code == 200
        transaction.begin()
        assert "inner" in api.portal.get()["target"]

    def test_room_that_is_taken_meanwhile(
        self, tree, paused, settings, editor, subscribe
    ):
        """There was some when the call came, and none when it committed."""
        settings(max_waiting=1)
        more = [None]

        def schedule_another(event):
            if more:
                more.pop()
                schedule(len, "four")

        subscribe(ITaskScheduled, schedule_another)
        answer = editor.request(**COPY, headers=PREFER)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "Location" not in answer.headers
        assert "Preference-Applied" not in answer.headers
        assert answer.json()["type"] == "QueueFull"
        assert count() == 0


class TestSwitch:
    """The site says whose calls become tasks."""

    @pytest.mark.parametrize(
        "value, user, is_task",
        [
            ("all", "editor", True),
            ("managers", "editor", False),
            ("managers", "boss", True),
            ("off", "boss", False),
        ],
    )
    def test_respond_async(self, tree, request, value, user, is_task):
        name = "collective.background.respond_async"
        api.portal.set_registry_record(name, value)
        transaction.commit()
        session = request.getfixturevalue(user)
        change = {"title": "Changed"}
        answer = session.patch("folder/inner", json=change, headers=PREFER)
        assert answer.status_code == (202 if is_task else 204)
        get_scheduler().wait_all(TIMEOUT)
        transaction.begin()
        assert api.portal.get()["folder"]["inner"].title == "Changed"


@pytest.mark.slow
@pytest.mark.parametrize("is_persistent", [False, True], ids=["memory", "database"])
def test_a_whole_instance(serve, is_persistent):
    server = serve(max_waiting=1, drain_timeout=0)
    if is_persistent:
        server.get("probe-persist")
    server.scheduler("pause", "default")
    server.schedule("write", "the only one")
    with pytest.raises(HTTPError) as refused:
        server.schedule("write", "one too many")
    answer = refused.value.response
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert server.scheduler("count") == 1
    # A call that would rather be a task is done at once.
    headers = {"Accept": "application/json", "Prefer": "respond-async"}
    body = {"title": "Changed at once"}
    assert server.request("PATCH", "", json=body, headers=headers).status_code == 204
    assert server.rest("GET", "")["title"] == "Changed at once"
