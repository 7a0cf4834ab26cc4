"""What calls of the REST API are called as tasks."""

from collective.background.services import titles
from collective.background.services.titles import title_of
from plone import api
from zope.i18n import translate

import json
import pytest


@pytest.fixture
def news(portal):
    with api.env.adopt_roles(["Manager"]):
        return api.content.create(portal, "Folder", "news", title="News")


@pytest.fixture
def title(news):
    """Return a function: the title of a call of a service of the folder, in words."""
    request = news.REQUEST.clone()

    def title(method, *steps, body=None, context=news, language="en"):
        request.method = method
        data = b"" if body is None else json.dumps(body).encode()
        request.environ["CONTENT_LENGTH"] = str(len(data))
        request.set("BODY", data)
        return translate(
            title_of(context, request, list(steps)), target_language=language
        )

    with api.env.adopt_roles(["Manager"]):
        yield title


@pytest.mark.parametrize(
    ("call", "body", "text"),
    [
        ("POST @copy", {"source": "/secret"}, "Copying an item to /news"),
        ("POST @copy", {"source": ["/a"]}, "Copying an item to /news"),
        ("POST @copy", {"source": ["/a"] * 12}, "Copying 12 items to /news"),
        ("POST @move", {"source": ["/a"] * 2}, "Moving 2 items to /news"),
        ("POST @workflow publish", None, "Publishing “News”"),
        ("POST @workflow archive", None, "Changing the state of “News”: archive"),
        ("DELETE", None, "Deleting “News”"),
        ("PATCH", {"title": "Other"}, "Changing “News”"),
        ("POST", {"title": "First"}, "Adding “First” to /news"),
        ("POST", {"@type": "Document"}, "Adding an item to /news"),
        ("POST", {"title": ["no", "text"]}, "Adding an item to /news"),
        ("POST", ["nothing"], "Adding an item to /news"),
        ("POST @workflow", None, "POST /news/@workflow"),
        ("POST @sharing", {}, "Sharing “News”"),
        ("POST @listing of", {}, "POST /news/@listing/of"),
    ],
)
def test_are_words(title, call, body, text):
    assert title(*call.split(), body=body) == text


def test_are_translated(title):
    text = "12 Objekte nach /news kopieren"
    body = {"source": ["/a"] * 12}
    assert title("POST", "@copy", body=body, language="de") == text


def test_of_the_site_itself(title, portal):
    body = {"source": ["/a"] * 2}
    text = "Copying 2 items to /"
    assert title("POST", "@copy", body=body, context=portal) == text


def test_long_bodies_are_not_read(title, monkeypatch):
    monkeypatch.setattr(titles, "LARGEST_BODY", 10)
    assert title("POST", body={"title": "A title"}) == "Adding an item to /news"


def test_nor_are_those_that_are_nested_deeply(title, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda body: "[" * body)
    assert title("POST", body=100_000) == "Adding an item to /news"


def test_no_title_is_told_to_who_may_not_view_the_content(title, news):
    news.manage_permission("View", [], acquire=False)
    assert title("DELETE") == "Deleting “news”"
