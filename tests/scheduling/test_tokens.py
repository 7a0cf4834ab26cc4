"""What a browser's request schedules is a write, which needs a token like any other."""

from bs4 import BeautifulSoup
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from helpers import finished
from helpers import PASSWORD
from helpers import TIMEOUT
from plone import api
from plone.app.testing import TEST_USER_NAME
from plone.app.testing import TEST_USER_PASSWORD
from plone.protect import auto
from plone.protect.authenticator import createToken
from plone.protect.interfaces import IDisableCSRFProtection
from Products.Five import BrowserView
from Products.PluggableAuthService.interfaces.events import IUserLoggedInEvent
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from zope.globalrequest import clearRequest
from zope.globalrequest import getRequest
from zope.globalrequest import setRequest
from zope.interface import alsoProvides
from zope.lifecycleevent.interfaces import IObjectModifiedEvent

import pytest
import requests
import transaction


TOKEN = "_authenticator"
AUTH = (TEST_USER_NAME, TEST_USER_PASSWORD)
VIEWS = f"""
<configure xmlns:browser="http://namespaces.zope.org/browser">
  <include package="Products.Five.browser" file="meta.zcml" />
  <browser:page
      name="schedule" for="*" class="{__name__}.Schedule" permission="zope2.View" />
</configure>
"""


def nothing(*args):
    """Do nothing."""


def schedule_another():
    schedule(nothing)


class Schedule(BrowserView):
    """Schedules as its form says: ``how`` has words."""

    def __call__(self, how="", kind="text/html"):
        self.request.response.setHeader("Content-Type", kind)
        if "marked" in how:
            alsoProvides(self.request, IDisableCSRFProtection)
        if "inline" in how:
            schedule_batch(nothing, ["item"], inline_below=2)
        else:
            schedule(schedule_another if "nested" in how else nothing)
        if "savepoint" in how:
            transaction.savepoint(optimistic=True)
        if "commit" in how:
            transaction.commit()
        if "redirect" in how:
            self.request.response.redirect(self.context.absolute_url())
        return "<html><body>scheduled</body></html>"


@pytest.fixture
def url(functional, tier, folder, server):
    with in_site(None):
        xmlconfig.string(VIEWS, context=functional["configurationContext"])
    return f"{server}/plone/folder/schedule"


@pytest.fixture
def token(site):
    return createToken()


def visit(url, method="GET", auth=AUTH, **kwargs):
    """Return the answer, and how many tasks there are then."""
    kwargs = {"allow_redirects": False, "timeout": TIMEOUT, **kwargs}
    answer = requests.request(method, url, auth=auth, **kwargs)
    transaction.begin()
    get_scheduler().wait_all(TIMEOUT)
    transaction.begin()
    return answer, get_scheduler().count()


def is_seen_by_plone(tier, how):
    """Whether plone.protect refuses it, whose exception is lost on the way.

    In a test layer that comes first: there are several registries, one above the other.
    """
    return tier == "database" and "savepoint" not in how


HOWS = pytest.mark.parametrize("how", ["", "savepoint", "inline", "inline savepoint"])


class TestRefused:
    @HOWS
    @pytest.mark.parametrize("fields", [{}, {TOKEN: "0" * 40}])
    def test_a_form_without_a_valid_one(self, url, tier, how, fields):
        answer, tasks = visit(url, "POST", data={"how": how, **fields})
        assert tasks == 0
        if not is_seen_by_plone(tier, how):
            assert answer.status_code == 403
            assert "scheduled" not in answer.text

    @pytest.mark.parametrize("how", ["", "redirect", "savepoint", "savepoint redirect"])
    def test_a_link_leads_to_the_page_that_asks(self, url, how):
        """From which one goes on with a token, if that was meant."""
        answer, tasks = visit(url, params={"how": how})
        assert (answer.status_code, tasks) == (302, 0)
        location = answer.headers["Location"]
        assert "/plone/@@confirm-action?" in location
        page, _ = visit(location)
        form = BeautifulSoup(page.text, "lxml").select_one("form[action$=schedule]")
        assert form["action"] == url
        fields = {field["name"]: field["value"] for field in form.select("input")}
        answer, tasks = visit(url, params=fields)
        assert answer.status_code == (302 if "redirect" in how else 200)
        assert tasks == 1

    @HOWS
    def test_a_link_to_something_else_than_a_page(self, url, tier, how):
        answer, tasks = visit(url, params={"how": how, "kind": "text/plain"})
        assert tasks == 0
        if not is_seen_by_plone(tier, how):
            assert answer.status_code == 403

    @HOWS
    def test_a_link_that_is_only_looked_at(self, url, how):
        answer, tasks = visit(url, "HEAD", params={"how": how})
        assert (answer.status_code, tasks) == (403, 0)

    def test_code_that_commits_itself(self, url):
        """So it is not too late when the publisher commits."""
        answer, tasks = visit(url, "POST", data={"how": "commit"})
        assert (answer.status_code, tasks) == (403, 0)

    def test_what_a_subscriber_schedules(self, url, subscribe):
        """The form of the content itself, without a token."""
        subscribe(IObjectModifiedEvent, lambda event: schedule(nothing))
        form = {"form.widgets.IDublinCore.title": "x", "form.buttons.save": "Save"}
        _, tasks = visit(url.replace("schedule", "edit"), "POST", data=form)
        assert tasks == 0


class TestAccepted:
    @HOWS
    def test_a_form_with_one(self, url, token, how):
        answer, tasks = visit(url, "POST", data={"how": how, TOKEN: token})
        assert (answer.status_code, tasks) == (200, 1)

    @HOWS
    def test_a_link_with_one(self, url, token, how):
        answer, tasks = visit(url, params={"how": how, TOKEN: token})
        assert (answer.status_code, tasks) == (200, 1)

    def test_one_in_a_header(self, url, token):
        answer, tasks = visit(url, "POST", headers={"X-CSRF-TOKEN": token})
        assert (answer.status_code, tasks) == (200, 1)

    @HOWS
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    def test_a_request_that_is_marked(self, url, how, method):
        answer, tasks = visit(url, method, params={"how": f"{how} marked"})
        assert (answer.status_code, tasks) == (200, 1)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_visitors_who_have_not_logged_in(self, url, site, method):
        """They have nothing that a page of another site could make use of."""
        site.folder.manage_permission("View", ["Anonymous"])
        transaction.commit()
        answer, tasks = visit(url, method, auth=None)
        assert (answer.status_code, tasks) == (200, 1)

    def test_all_where_the_protection_is_switched_off(self, url, monkeypatch):
        monkeypatch.setattr(auto, "CSRF_DISABLED", True)
        answer, tasks = visit(url, "POST", data={"how": "savepoint"})
        assert (answer.status_code, tasks) == (200, 1)

    @pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
    def test_what_a_subscriber_schedules_in_a_call_of_the_rest_api(
        self, url, subscribe, method
    ):
        """No page of another site can send PATCH and DELETE; nothing marks these."""
        subscribe(IObjectModifiedEvent, lambda event: schedule(nothing))
        headers = {"Accept": "application/json"}
        body = {"@type": "Document", "title": "A title"}
        address = url.removesuffix("/schedule")
        answer, tasks = visit(address, method, json=body, headers=headers)
        assert answer.ok
        assert tasks > 0

    def test_a_task_in_a_task(self, url, token):
        answer, tasks = visit(url, "POST", data={"how": "nested", TOKEN: token})
        assert (answer.status_code, tasks) == (200, 2)


class TestLogIn:
    """Plone marks these requests, as they write in any case."""

    @pytest.fixture
    def portal(self, url, site, subscribe):
        """The address of a site in which each log-in schedules a task."""
        site.acl_users.userFolderAddUser("jane", PASSWORD, ["Member"], [])
        site.acl_users.getUserById("jane")
        transaction.commit()
        subscribe(IUserLoggedInEvent, lambda event: schedule(nothing))
        return url.removesuffix("/folder/schedule")

    def test_by_its_form(self, portal):
        form = {
            "__ac_name": "jane",
            "__ac_password": PASSWORD,
            "buttons.login": "Log in",
        }
        answer, tasks = visit(f"{portal}/login", "POST", auth=None, data=form)
        assert (answer.status_code, tasks) == (302, 1)

    def test_by_the_rest_api(self, portal):
        body = {"login": "jane", "password": PASSWORD}
        headers = {"Accept": "application/json"}
        answer, tasks = visit(
            f"{portal}/@login", "POST", auth=None, json=body, headers=headers
        )
        assert answer.status_code == 200
        assert tasks == 1

    def test_after_a_new_password(self, portal):
        tool = api.portal.get_tool("portal_password_reset")
        key = tool.requestReset("jane")["randomstring"]
        transaction.commit()
        secret = f"another {PASSWORD}"
        form = {"userid": "jane", "password": secret, "password2": secret}
        answer, tasks = visit(
            f"{portal}/passwordreset/{key}", "POST", auth=None, data=form
        )
        assert (answer.status_code, tasks) == (302, 1)


class TestNoBrowser:
    """Where no request is published, there is nobody to ask for a token."""

    @pytest.fixture(autouse=True)
    def in_tier(self, tier):
        """Both of them."""

    def test_a_script_without_a_request(self):
        request = getRequest()
        clearRequest()
        try:
            assert finished(schedule(nothing)).state == "succeeded"
        finally:
            setRequest(request)

    def test_a_request_that_is_not_being_published(self):
        """As scripts and tests make them."""
        assert getRequest() is not None
        assert finished(schedule(nothing)).state == "succeeded"


@pytest.mark.slow
@pytest.mark.parametrize("is_persistent", [False, True], ids=["memory", "database"])
def test_a_whole_instance(serve, is_persistent):
    """The same answers wherever tasks are kept."""
    server = serve()
    if is_persistent:
        server.get("probe-persist")
    form = {"task": "write", "mark": "forged", "is_protected": "1"}
    for method, sent in (("POST", "data"), ("HEAD", "params")):
        with pytest.raises(requests.HTTPError) as refused:
            server.request(method, "probe-start", **{sent: form})
        assert refused.value.response.status_code == 403
    # The answer is no page, so nobody could confirm it.
    with pytest.raises(requests.HTTPError) as refused:
        server.get("probe-start", **form)
    assert refused.value.response.status_code == 403
    assert server.scheduler("count") == 0
