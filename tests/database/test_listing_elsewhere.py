"""Lists of what workers elsewhere have load no more than they show."""

from bare import make_task
from collective.background.capture.external import capture_external
from collective.background.database import external
from collective.background.database import handed_over
from collective.background.database.changes import cancel
from collective.background.database.changes import retry
from collective.background.database.elsewhere import report
from collective.background.database.external import External
from collective.background.database.groups import StoredGroup
from collective.background.database.handed_over import hand_over
from collective.background.database.settling import News
from collective.background.model.external import digest_of
from collective.background.model.external import LIFETIME
from collective.background.model.external import parse_report
from collective.background.scheduling.groups import Group
from datetime import datetime
from datetime import UTC
from itertools import count
from types import SimpleNamespace

import pytest


TOKEN = "secret"
MANY = 20
numbers = count(1)


def send(bare, group=None):
    """Return a StoredTask that was handed over to a worker elsewhere."""
    stored = bare.add(call=capture_external("a.b", None, "celery"))
    if group is not None:
        stored.group_id = group.id
        group.add(stored)
    token = External(digest_of(TOKEN), stored.reserve("a"), LIFETIME, 60.0)
    stored.status.send(SimpleNamespace(arguments=()), token)
    hand_over(bare.scheduler, stored)
    commit(bare)
    return stored


def tell(bare, stored, state="running"):
    told = {"run": "one", "number": next(numbers), "state": state}
    report(bare.scheduler, stored.id, TOKEN, parse_report(told), News())
    commit(bare)


def commit(bare):
    bare.manager.commit()
    bare.manager.begin()


def listed(bare, state, **filters):
    """Return the ids of the tasks in a list, whose number has to be right as well."""
    records = bare.scheduler.records(states=state, limit=None, **filters)
    assert {record.state for record in records} <= {state}
    assert bare.scheduler.count(states=state, **filters) == len(records)
    return [record.id for record in records]


@pytest.fixture
def many(bare):
    """Tasks whose workers have begun them."""
    tasks = [send(bare) for _ in range(MANY)]
    for task in tasks:
        tell(bare, task)
    return tasks


@pytest.fixture
def group(bare):
    made = StoredGroup(
        Group(snapshot=make_task().snapshot), bare.scheduler._p_oid, 60.0
    )
    bare.scheduler.groups[made.id] = made
    return made


def registered(bare):
    """Return what the current transaction has changed."""
    return bare.connection._registered_objects


def anew(bare):
    """Nothing is loaded, and so all of it would be seen."""
    bare.connection.cacheMinimize()
    bare.manager.begin()


class TestStates:
    def test_from_the_first_report_on_it_runs(self, bare):
        task = send(bare)
        assert listed(bare, "queued") == [task.id]
        tell(bare, task)
        assert listed(bare, "running") == [task.id]
        assert listed(bare, "queued") == []

    def test_also_if_that_comes_before_it_is_known_that_it_was_sent(self, bare):
        task = send(bare)
        other = bare.add(call=capture_external("a.b", None, "celery"))
        token = External(digest_of(TOKEN), other.reserve("a"), LIFETIME, 60.0)
        other.status.send(SimpleNamespace(arguments=()), token)
        commit(bare)
        tell(bare, other)
        hand_over(bare.scheduler, other)
        assert listed(bare, "running") == [other.id]
        assert listed(bare, "queued") == [task.id]

    def test_until_its_end(self, bare, many):
        tell(bare, many[0], "failed")
        assert listed(bare, "failed") == [many[0].id]
        assert len(listed(bare, "running")) == MANY - 1

    def test_it_waits_when_it_is_tried_again(self, bare, many):
        tell(bare, many[0], "failed")
        retry(bare.scheduler, many[0].id, News(), lambda *_: None)
        assert listed(bare, "queued") == [many[0].id]
        assert len(listed(bare, "running")) == MANY - 1

    def test_of_a_user(self, bare, many):
        user = {"user_path": many[0].user_path, "user_id": many[0].user_id}
        assert len(listed(bare, "running", **user)) == MANY
        assert listed(bare, "running", **{**user, "user_id": "other"}) == []

    def test_what_has_begun_before_it_was_listed_so(self, bare):
        """In a database of an earlier version."""
        task = send(bare)
        task.external.began = datetime.now(UTC)
        commit(bare)
        tell(bare, task)
        assert listed(bare, "running") == [task.id]
        assert listed(bare, "queued") == []


class TestCosts:
    def test_of_a_page_of_a_list(self, bare, many, loaded):
        anew(bare)
        assert bare.scheduler.count(states="running") == MANY
        assert loaded == []
        assert len(bare.scheduler.records(states="running", limit=3)) == 3
        assert len(set(loaded)) == 3

    def test_of_what_is_in_a_slot(self, bare, many, loaded):
        anew(bare)
        assert bare.scheduler.lines().running() == set()
        assert loaded == []

    def test_of_a_group(self, bare, many, group, loaded):
        tell(bare, send(bare, group))
        anew(bare)
        assert bare.scheduler.record(group.id).state == "running"
        assert loaded == []

    def test_of_a_report(self, bare, many, monkeypatch, loaded):
        """It loads and writes what is of its own task only."""
        monkeypatch.setattr(external, "PACE", 0)
        task = many[0]
        for _ in range(2):
            anew(bare)
            loaded.clear()
            told = {"run": "one", "number": next(numbers), "progress": {"done": 1}}
            report(bare.scheduler, task.id, TOKEN, parse_report(told), News())
            changed = [type(each).__name__ for each in registered(bare)]
            commit(bare)
        assert set(loaded) == {task.id}
        assert sorted(changed) == ["External", "Report"]


class TestGroups:
    def test_one_runs_as_soon_as_a_member_does(self, bare, group):
        task = send(bare, group)
        assert bare.scheduler.record(group.id).state == "queued"
        tell(bare, task)
        record = bare.scheduler.record(group.id)
        assert (record.state, record.started) == ("running", task.external.began)

    def test_one_shows_that_a_member_is_asked_to_stop(self, bare, many, group):
        task = send(bare, group)
        tell(bare, task)
        cancel(bare.scheduler, many[0].id, News())
        assert not bare.scheduler.record(group.id).cancel_requested
        cancel(bare.scheduler, task.id, News())
        assert list(handed_over.asked_to_stop(bare.scheduler))
        assert bare.scheduler.record(group.id).cancel_requested
