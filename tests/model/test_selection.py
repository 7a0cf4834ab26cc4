"""The filters and orders of ``records()``, and that its cost does not grow."""

from collective.background import schedule
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.memory import index as memory_index
from collective.background.memory.index import Index
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.model.records import ErrorInfo
from collective.background.model.selection import Selection
from collective.background.model.selection import SORT_KEYS
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from helpers import finished
from hypothesis import given
from hypothesis import strategies

import pytest


NOW = datetime(2026, 11, 24, tzinfo=UTC)


@dataclass
class Facts:
    """What a selection looks at."""

    number: int
    site_path: str | None
    user_path: str | None
    user_id: str | None
    queue: str
    state: str
    context_path: str | None = None
    group_id: str | None = None
    title: str = "Import"
    callable: str = "shop.stock.load"
    priority: int = 0
    dismissed: bool = False
    started: datetime | None = None
    finished: datetime | None = None
    error: ErrorInfo | None = None

    @property
    def id(self):
        return f"{self.number:032x}"

    @property
    def created(self):
        return NOW + timedelta(seconds=self.number)


def optional(*values):
    return strategies.sampled_from((None, *values))


FIELDS = {
    "site_path": optional("/a", "/b"),
    "user_path": optional("/acl_users", "/a/acl_users"),
    "user_id": optional("ann", "bob"),
    "queue": strategies.sampled_from(("default", "mail")),
    "context_path": optional("/a/news", "/b/news"),
    "group_id": optional("f" * 32),
    "dismissed": strategies.booleans(),
}
ERROR = ErrorInfo(type="builtins.KeyError", message="'a'", traceback="")
TASKS = strategies.lists(
    strategies.fixed_dictionaries(
        {
            **FIELDS,
            "state": strategies.sampled_from(states.STATES),
            "title": strategies.sampled_from(("Import", "Export", _("Import"))),
            "priority": strategies.integers(-1, 1),
            "error": optional(ERROR),
            "started": optional(NOW, NOW + timedelta(1)),
        }
    ),
    max_size=30,
)
FILTERS = strategies.fixed_dictionaries(
    {},
    optional={
        **FIELDS,
        "states": strategies.sets(strategies.sampled_from(states.STATES)),
        "text": strategies.sampled_from(("imp", "STOCK", "/A/", "b", "")),
        "callable": strategies.sampled_from(("load", "stock.load", "oad", "save")),
        "below": strategies.sampled_from(("/a", "/a/news", "/a/new")),
        "error": strategies.sampled_from(("builtins.KeyError", "ValueError")),
        "created_after": strategies.integers(0, 30).map(
            lambda seconds: NOW + timedelta(seconds=seconds)
        ),
        "among": strategies.integers(0, 10),
        "sort_on": strategies.sampled_from(list(SORT_KEYS)),
        "descending": strategies.booleans(),
    },
)


INDEXED = ("states", "site_path", "user_path", "user_id", "queue")


def is_wanted(task, filters):
    """The rules once more, in other words."""
    texts = (task.title, task.callable, task.context_path, task.user_id, task.id)
    text = (filters.get("text") or "").lower()
    equal = ("site_path", "user_path", "user_id", "queue", "context_path", "group_id")
    return (
        task.state in filters.get("states", states.STATES)
        and all(filters.get(name) in (None, getattr(task, name)) for name in equal)
        and filters.get("dismissed") in (None, task.dismissed)
        and task.created > filters.get("created_after", NOW - timedelta(1))
        and filters.get("callable") in (None, "load", "stock.load")
        and filters.get("below", "/a") in ("/a", task.context_path)
        and ("below" not in filters or (task.context_path or "").startswith("/a/"))
        and filters.get("error") in (None, task.error and task.error.type)
        and (not text or any(text in (part or "").lower() for part in texts))
    )


class TestSelect:
    def test_a_user_without_a_folder_is_another_one(self):
        """As Zope's own users are."""
        index = Index()
        index.add(Facts(1, "/a", None, "ann", "default", "queued"))
        assert (
            list(index.select(Selection(user_id="ann", user_path="/acl_users"))) == []
        )
        assert index.count(Selection(user_id="ann", user_path="/acl_users")) == 0
        assert index.count(Selection(user_id="ann")) == 1

    @given(TASKS, FILTERS)
    def test_finds_what_is_wanted_in_its_order(self, fields, filters):
        tasks = [Facts(number, **values) for number, values in enumerate(fields)]
        index = Index()
        for task in tasks:
            index.add(task)
        found = list(index.select(Selection(**filters)))

        indexed = {name: filters[name] for name in INDEXED if name in filters}
        looked_at = [task for task in reversed(tasks) if is_wanted(task, indexed)]
        looked_at = looked_at[: filters.get("among")]
        wanted = [task for task in looked_at if is_wanted(task, filters)]
        assert sorted(task.number for task in found) == sorted(
            task.number for task in wanted
        )
        key = SORT_KEYS[filters.get("sort_on", "created")]
        keys = [key(task) for task in found]
        assert keys == sorted(keys, reverse=filters.get("descending", True))
        assert index.count(Selection(**filters)) == len(wanted)

    @given(TASKS)
    def test_what_was_taken_out_is_not_found(self, fields):
        index = Index()
        tasks = [Facts(number, **values) for number, values in enumerate(fields)]
        for task in tasks:
            index.add(task)
        assert all(index.discard(task) for task in tasks)
        assert list(index.select(Selection())) == []
        assert not any(index.discard(task) for task in tasks)

    def test_only_what_is_asked_for_is_looked_at(self):
        """So the cost of a page does not grow with the number of tasks."""
        looked_at = []

        class Watched(Facts):
            @property
            def context_path(self):
                looked_at.append(self.number)
                return "/a/news"

            @context_path.setter
            def context_path(self, value):
                """Of the data class."""

        index = Index()
        for number in range(1000):
            state = states.FAILED if number % 100 == 0 else states.SUCCEEDED
            index.add(Watched(number, "/a", None, "ann", "default", state))
        selection = Selection(states=states.FAILED, context_path="/a/news")
        found = index.select(selection)
        assert [next(found).number for _ in range(3)] == [900, 800, 700]
        assert looked_at == [900, 800, 700]

    def test_tasks_of_others_cost_nothing(self, monkeypatch):
        """However many users there are."""
        index = Index()
        for number in range(300):
            user = f"user-{number}"
            index.add(Facts(number, "/a", "/f", user, "default", states.FAILED))
        merged = []
        monkeypatch.setattr(
            memory_index, "merge", lambda *trees, key: merged.append(len(trees)) or []
        )
        for filters in ({}, {"site_path": "/a"}, {"user_id": "user-7"}):
            list(index.select(Selection(**filters)))
        assert merged == [1, 1, 1]


class TestBadFilters:
    def test_state(self):
        with pytest.raises(BadOption, match=r"no state 'done'.*queued, running"):
            Selection(states=["done"])

    def test_naive_time(self):
        with pytest.raises(BadOption, match=r"created_after .*time zone"):
            Selection(created_after=datetime(2026, 1, 1))

    def test_order(self):
        with pytest.raises(BadOption, match=r"sort_on is 'size'.*created, started"):
            Selection(sort_on="size")


class TestScheduler:
    def test_filters_and_orders_its_records(self, scheduler):
        for title in ("Beta", "alpha", "Gamma"):
            finished(using(title=title).schedule(len, "x"))

        def titles(**filters):
            return [record.title for record in scheduler.records(**filters)]

        assert titles() == ["Gamma", "alpha", "Beta"]
        assert titles(sort_on="title", descending=False) == ["alpha", "Beta", "Gamma"]
        assert titles(descending=False, start=1, limit=1) == ["alpha"]
        assert titles(text="ALPH") == ["alpha"]
        assert scheduler.count(text="a", states="succeeded") == 3

    def test_a_retried_task_keeps_its_place(self, scheduler):
        def fail():
            raise ValueError

        first = finished(schedule(fail)).id
        second = finished(schedule(fail)).id
        scheduler.retry(first)
        scheduler.wait(first, 10)
        assert [record.id for record in scheduler.records()] == [second, first]
