"""``rerun_in_background()``: a view lets its own request go on as a task."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import rerun_in_background
from collective.background import schedule_view
from collective.background.exceptions import AlreadyInBackground
from collective.background.exceptions import BadOption
from helpers import failure_of
from helpers import finished
from helpers import TIMEOUT
from plone import api
from plone.app.testing import TEST_USER_ID
from plone.app.testing import TEST_USER_NAME
from plone.app.testing import TEST_USER_PASSWORD
from plone.protect import CheckAuthenticator
from plone.protect.authenticator import createToken
from plone.protect.interfaces import IDisableCSRFProtection
from Products.Five import BrowserView
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from zope.i18n import translate
from zope.i18nmessageid import Message
from zope.interface import alsoProvides
from zope.interface import implementer
from zope.publisher.interfaces import IPublishTraverse

import pytest
import requests
import transaction


VIEWS = f"""
<configure xmlns:browser="http://namespaces.zope.org/browser">
  <include package="Products.Five.browser" file="meta.zcml" />
  <browser:page
      name="work"
      for="*"
      class="{__name__}.Work"
      permission="cmf.ModifyPortalContent"
      />
  <browser:page
      name="work-without-token"
      for="*"
      class="{__name__}.WorkWithoutToken"
      permission="cmf.ModifyPortalContent"
      />
  <browser:page
      name="work-for-ever"
      for="*"
      class="{__name__}.WorkForEver"
      permission="cmf.ModifyPortalContent"
      />
</configure>
"""

TOKEN = "_authenticator"
seen = []  # what the views have seen when they did their work


@implementer(IPublishTraverse)
class Work(BrowserView):
    """Tells what its request is like, in a task."""

    title = Message("msgid_of_work", domain="no.domain", default="Work")
    steps = ()

    def publishTraverse(self, request, name):
        self.steps = (*self.steps, name)
        return self

    def __call__(self):
        if current_task() is None:
            return rerun_in_background(self, title=self.title)
        CheckAuthenticator(self.request)
        upload = self.request.form.pop("upload", None)
        seen.append(
            {
                "method": self.request.method,
                "form": dict(self.request.form),
                "query": self.request["QUERY_STRING"],
                "type": self.request.getHeader("Content-Type"),
                "upload": upload and (upload.filename, upload.read()),
                "steps": self.steps,
                "context": self.context.getId(),
                "user": api.user.get_current().getId(),
                "ACTUAL_URL": self.request["ACTUAL_URL"],
            }
        )
        self.context.setTitle("Worked on")
        return "done"


class WorkWithoutToken(Work):
    """Needs none: somebody has thought about it."""

    title = None

    def __call__(self):
        if current_task() is None:
            alsoProvides(self.request, IDisableCSRFProtection)
            return rerun_in_background(self, title=self.title)
        seen.append(self.request.form)
        return "done"


class WorkForEver(BrowserView):
    """Forgets to ask whether it is in a task."""

    def __call__(self):
        return rerun_in_background(self)


@pytest.fixture
def url(functional, folder, server):
    """The address of a folder in which the views are."""
    seen.clear()
    with in_site(None):
        xmlconfig.string(VIEWS, context=functional["configurationContext"])
    return f"{server}/plone/folder"


@pytest.fixture
def token(site):
    return createToken()


def visit(url, method="POST", **kwargs):
    """Call a view as the test user; return its answer and the record of its task."""
    auth = (TEST_USER_NAME, TEST_USER_PASSWORD)
    kwargs = {"allow_redirects": False, "timeout": TIMEOUT, **kwargs}
    answer = requests.request(method, url, auth=auth, **kwargs)
    get_scheduler().wait_all(TIMEOUT)
    transaction.begin()
    return answer, next(iter(get_scheduler().records()), None)


class TestAgain:
    def test_the_visitor_is_sent_back_with_a_message(self, url, token):
        answer, record = visit(
            f"{url}/@@work", data={TOKEN: token}, allow_redirects=True
        )
        assert [step.status_code for step in answer.history] == [302]
        assert answer.url == url
        assert "Work goes on in the background." in answer.text
        assert translate(record.title) == "Work"
        assert record.state == "succeeded", record.error

    def test_the_work_is_done_by_the_same_user_at_the_same_place(self, url, token):
        visit(f"{url}/@@work", data={TOKEN: token})
        (what,) = seen
        assert what["user"] == TEST_USER_ID
        assert what["context"] == "folder"
        assert what["ACTUAL_URL"].removesuffix("work").removesuffix("@@") == f"{url}/"
        assert api.portal.get()["folder"].title == "Worked on"

    def test_query_and_form_with_their_types(self, url, token):
        fields = {TOKEN: token, "number:int": "3", "several:list": ["a", "b"]}
        visit(f"{url}/@@work?page:int=2&q=x", data=fields)
        (what,) = seen
        del what["form"][TOKEN]
        assert what["form"] == {"number": 3, "several": ["a", "b"], "page": 2, "q": "x"}
        assert what["query"] == "page:int=2&q=x"
        assert what["method"] == "POST"
        assert what["type"] == "application/x-www-form-urlencoded"

    def test_uploads(self, url, token):
        files = {"upload": ("ä.txt", b"what is in it")}
        visit(f"{url}/@@work", data={TOKEN: token}, files=files)
        assert seen[0]["upload"] == ("ä.txt", b"what is in it")
        assert seen[0]["type"].startswith("multipart/form-data; boundary=")

    def test_a_path_below_the_view(self, url, token):
        visit(f"{url}/@@work/one/two", data={TOKEN: token})
        assert seen[0]["steps"] == ("one", "two")

    def test_a_button_that_names_the_view(self, url, token):
        _, record = visit(url, data={TOKEN: token, "@@work:method": "Go"})
        assert record.state == "succeeded", record.error
        assert seen[0]["steps"] == ()

    def test_a_body_that_is_no_form(self, url, token):
        headers = {"Content-Type": "application/json", "X-CSRF-TOKEN": token}
        _, record = visit(f"{url}/@@work", data="{}", headers=headers)
        assert record.state == "succeeded", record.error

    def test_no_credentials(self, url, token):
        fields = {
            **{TOKEN: token, "__ac_name": "x", "__ac_password": "secret", "a": "1"},
            **{"users.pwd:records": "secret", "new_password": "secret"},
        }
        visit(f"{url}/@@work?__ac=secret", data=fields)
        assert seen[0]["form"].keys() == {TOKEN, "a", "users"}
        assert "secret" not in str(seen[0])

    def test_a_body_with_credentials(self, url, token):
        """A body is kept as it is, or not at all."""
        headers = {"X-CSRF-TOKEN": token}
        body = {"users": [{"password": "secret"}]}
        answer, record = visit(f"{url}/@@work", json=body, headers=headers)
        assert answer.status_code == 500
        assert record is None


class TestToken:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("params", [{}, {TOKEN: "wrong"}])
    def test_without_a_valid_one_nothing_happens(self, url, method, params):
        answer, record = visit(f"{url}/@@work", method, params=params)
        assert answer.status_code == 403
        assert record is None

    def test_a_link_can_have_it(self, url, token):
        _, record = visit(f"{url}/@@work", "GET", params={TOKEN: token})
        assert record.state == "succeeded", record.error
        assert seen[0]["method"] == "GET"

    def test_a_view_may_do_without(self, url):
        answer, record = visit(f"{url}/@@work-without-token", "GET")
        assert answer.status_code == 302
        assert answer.headers["Location"] == url
        assert record.state == "succeeded", record.error
        assert record.title == "/plone/folder/@@work-without-token"


class TestNotAgain:
    def test_a_task_cannot_become_another_one(self, url, folder):
        record, _ = failure_of(schedule_view(folder, "@@work-for-ever"))
        assert record.error.type.endswith(".AlreadyInBackground")
        assert "current_task() is None" in record.error.message
        assert len(get_scheduler().records()) == 1

    def test_so_it_ends_where_a_view_forgets_to_ask(self, url, token):
        _, record = visit(f"{url}/@@work-for-ever", data={TOKEN: token})
        assert record.error.type.endswith(AlreadyInBackground.__name__)
        assert len(get_scheduler().records()) == 1

    def test_only_the_request_that_the_view_is_answering(self, site, folder):
        """There is no other one that could be made again."""
        request = site.REQUEST
        alsoProvides(request, IDisableCSRFProtection)
        with pytest.raises(BadOption, match="only the request that a view is"):
            rerun_in_background(WorkForEver(folder, request))

    def test_scheduled_as_it_is_it_does_the_work_at_once(self, url, folder, token):
        record = finished(schedule_view(folder, "@@work", {TOKEN: token}))
        assert record.state == "succeeded", record.error
        assert len(seen) == 1
