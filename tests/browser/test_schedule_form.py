"""The base class for forms that schedule something."""

from bs4 import BeautifulSoup
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.browser.forms import ScheduleForm
from helpers import TIMEOUT
from plone.app.testing import TEST_USER_NAME
from plone.app.testing import TEST_USER_PASSWORD
from zope import schema
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from zope.interface import Interface

import pytest
import requests
import transaction


VIEWS = f"""
<configure xmlns:browser="http://namespaces.zope.org/browser">
  <include package="Products.Five.browser" file="meta.zcml" />
  <browser:page
      name="count" for="*" class="{__name__}.Count" permission="zope2.View" />
</configure>
"""


class ICount(Interface):
    text = schema.TextLine(title="Text", max_length=10)


class Count(ScheduleForm):
    schema = ICount
    label = "Count"

    def schedule(self, text):
        schedule(len, text)
        if text == "bad":
            using(queue="<b>no such</b>").schedule(len, text)


class Page:
    """A form as its user finds it."""

    def __init__(self, url):
        self.url = url
        self._session = requests.Session()
        self._session.auth = (TEST_USER_NAME, TEST_USER_PASSWORD)

    def fields(self, text="four", **changed):
        """Return the form filled in."""
        page = BeautifulSoup(self._session.get(self.url).text, "lxml")
        token = page.select_one("form#form [name=_authenticator]")["value"]
        return {
            "form.widgets.text": text,
            "form.buttons.start": "Start",
            "_authenticator": token,
            **changed,
        }

    def send(self, fields, method="POST"):
        """Return the answer, and how many tasks there are then."""
        sent = {"data" if method == "POST" else "params": fields}
        answer = self._session.request(
            method, self.url, allow_redirects=False, timeout=TIMEOUT, **sent
        )
        transaction.begin()
        get_scheduler().wait_all(TIMEOUT)
        transaction.begin()
        return answer, get_scheduler().count()


@pytest.fixture
def page(functional, tier, folder, server):
    with in_site(None):
        xmlconfig.string(VIEWS, context=functional["configurationContext"])
    return Page(f"{server}/plone/folder/count")


def test_schedules_and_goes_to_the_content(page):
    answer, tasks = page.send(page.fields())
    assert answer.status_code == 302
    assert answer.headers["Location"] == page.url.removesuffix("/count")
    assert tasks == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_does_nothing(page, method):
    """Not even with a token."""
    answer, tasks = page.send(page.fields(), method)
    assert (answer.status_code, tasks) == (403, 0)


@pytest.mark.parametrize("token", ["", "0" * 40])
def test_without_a_token_nothing_happens(page, token):
    answer, tasks = page.send(page.fields(_authenticator=token))
    assert (answer.status_code, tasks) == (403, 0)


def test_values_are_checked(page):
    answer, tasks = page.send(page.fields("longer than that"))
    assert (answer.status_code, tasks) == (200, 0)
    assert "Value is too long" in answer.text


def test_what_cannot_be_scheduled_is_told_and_nothing_is(page):
    answer, tasks = page.send(page.fields("bad"))
    assert (answer.status_code, tasks) == (200, 0)
    assert "&lt;b&gt;no such&lt;/b&gt;" in answer.text  # not as HTML
