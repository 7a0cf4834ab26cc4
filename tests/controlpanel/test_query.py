"""What the address of the list of tasks says."""

from collective.background.controlpanel.query import parse_query
from collective.background.controlpanel.query import Query
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from types import SimpleNamespace
from urllib.parse import parse_qsl
from urllib.parse import urlsplit
from zExceptions import BadRequest

import pytest


SITE = SimpleNamespace(
    getPhysicalPath=lambda: ("", "plone"), absolute_url=lambda: "https://example.com"
)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVERYTHING = Query(
    state="failed",
    queue="imports",
    user="ä & b",
    text="50 %",
    age="hour",
    callable="import_row",
    content="/news",
    error="builtins.ValueError",
    group="f" * 32,
    sort="title",
    order="ascending",
    start=60,
)


def test_an_empty_form_means_all_tasks_the_newest_first():
    query = parse_query({})
    assert query == Query()
    assert query.filters(NOW, SITE) == {}
    assert query.ordering() == {"sort_on": "created", "descending": True}
    assert not query.is_filtered


@pytest.mark.parametrize("query", [Query(), EVERYTHING])
def test_an_address_is_understood_as_it_was_made(query):
    address = query.address("http://host/view")
    assert parse_query(dict(parse_qsl(urlsplit(address).query))) == query


def test_what_is_usual_is_not_in_the_address():
    assert Query().address("http://host/view") == "http://host/view"


def test_filters_are_those_of_the_scheduler():
    assert EVERYTHING.filters(NOW, SITE) == {
        "queue": "imports",
        "user_id": "ä & b",
        "text": "50 %",
        "callable": "import_row",
        "below": "/plone/news",
        "error": "builtins.ValueError",
        "group_id": "f" * 32,
        "created_after": NOW - timedelta(hours=1),
    }


def test_the_form_of_the_filters_keeps_everything_else():
    kept = dict(EVERYTHING.hidden_values())
    asked = {"queue": "imports", "user": "ä & b", "text": "50 %", "age": "hour"}
    asked |= {"callable": "import_row", "content": "/news"}
    assert parse_query({**kept, **asked}) == replace(EVERYTHING, start=0)


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ("news", "/plone/news"),
        ("/news/", "/plone/news"),
        ("/", "/plone"),
        ("/plone", "/plone"),
        ("/plone/news", "/plone/news"),
        ("https://example.com", "/plone"),
        ("https://example.com/news/", "/plone/news"),
        ("/plone2", "/plone/plone2"),
    ],
)
def test_content_is_found_by_path_or_address(content, path):
    assert Query(content=content).filters(NOW, SITE) == {"below": path}


class TestSorting:
    @pytest.mark.parametrize(
        "column, order", [("title", "ascending"), ("finished", "descending")]
    )
    def test_a_column_begins_with_what_is_looked_for(self, column, order):
        query = Query(start=30).sorted_by(column)
        assert (query.sort, query.order, query.start) == (column, order, 0)

    def test_once_more_turns_it_round(self):
        once = Query().sorted_by("title")
        assert once.sorted_by("title").order == "descending"
        assert once.sorted_by("title").sorted_by("title") == once


class TestReset:
    def test_keeps_state_and_order(self):
        reset = EVERYTHING.without_filters()
        assert (reset.state, reset.sort) == ("failed", "title")
        assert not reset.is_filtered

    def test_another_state_keeps_the_filters(self):
        other = EVERYTHING.with_state("lost")
        assert other.filters(NOW, SITE) == EVERYTHING.filters(NOW, SITE)
        assert (other.state, other.start) == ("lost", 0)


@pytest.mark.parametrize("name", ["state", "age", "sort", "order"])
def test_an_unknown_value_is_refused_with_those_there_are(name):
    with pytest.raises(BadRequest, match=rf"{name} is 'odd'; it must be one of \w+"):
        parse_query({name: "odd"})


@pytest.mark.parametrize("value", ["-1", "x", "1.5", [1], -1, 10**30, None])
def test_a_page_is_a_number(value):
    with pytest.raises(BadRequest, match=r"b_start is .* whole number"):
        parse_query({"b_start": value})


def test_a_value_that_is_there_twice_is_refused():
    with pytest.raises(BadRequest, match=r"queue is .* must be one text"):
        parse_query({"queue": ["a", "b"]})
