"""Where tasks are kept: who schedules, or looks at lists, is in nobody's way."""

from bare import make_task
from collective.background.database.private import connected
from collective.background.database.shard import new_id
from collective.background.database.shard import number_of
from collective.background.database.tasks import StoredTask
from helpers import TIMEOUT
from threading import Barrier
from threading import Thread
from ZODB.POSException import ConflictError

import pytest
import transaction


THREADS = 8
ROUNDS = 40


@pytest.mark.parametrize(
    ("paused", "options", "allowed"),
    [(True, {}, 0.01), (False, {}, 0.01), (True, {"lock": "erp"}, 0.05)],
    ids=["waiting", "executed", "waiting for one lock"],
)
def test_eight_threads_that_schedule(scheduler, paused, options, allowed):
    """Of 320 commits that overlap hardly any is refused, also while tasks are run."""
    if paused:
        scheduler.pause("default")
    transaction.begin()
    barrier = Barrier(THREADS)
    database, oid = scheduler._p_jar.db(), scheduler._p_oid
    transaction.begin()
    conflicts, errors = [], []

    def work():
        try:
            with connected(database, oid) as (mine, manager):
                for _ in range(ROUNDS):
                    barrier.wait()
                    manager.begin()
                    task = make_task(**options)
                    mine.shards.add(StoredTask(task, *new_id(mine._p_jar), oid))
                    barrier.wait()
                    try:
                        manager.commit()
                    except ConflictError as conflict:
                        conflicts.append(conflict)
                        manager.abort()
        except Exception as error:
            errors.append(error)
            barrier.abort()

    threads = [Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    transaction.begin()
    assert scheduler.count() == THREADS * ROUNDS - len(conflicts)
    assert len(conflicts) <= THREADS * ROUNDS * allowed
    scheduler.resume("default")
    scheduler.wait_all(TIMEOUT)
    transaction.begin()
    assert scheduler.count(states="succeeded") == THREADS * ROUNDS - len(conflicts)


class TestIds:
    def test_have_their_place_in_them(self, bare):
        for _ in range(20):
            stored = bare.add()
            assert bare.scheduler.shards.find(stored.id) is stored
            assert number_of(stored.id) == stored.number
            bare.manager.commit()

    def test_those_of_one_transaction_have_one_place(self, bare):
        """More of them would conflict with whoever executes, again and again."""
        first = bare.add().id
        assert {bare.add().id[:2] for _ in range(20)} == {first[:2]}

    @pytest.mark.parametrize("id", ["", "x", "0" * 32, "zz" * 16, "../manage_main"])
    def test_what_is_none_is_not_found(self, bare, id):
        assert bare.scheduler.shards.find(id) is None


class TestLists:
    """Neither lists nor counts load what is not shown."""

    @pytest.fixture
    def many(self, bare, loaded):
        """Tasks of many users: ten of each."""
        for number in range(500):
            stored = bare.add()
            bare.scheduler.shards.leave(stored)
            stored.user_path, stored.user_id = "/plone/acl_users", f"user{number % 50}"
            bare.scheduler.shards.wait(stored)
        bare.manager.commit()
        bare.connection.cacheMinimize()
        bare.manager.begin()
        loaded.clear()
        return bare.scheduler

    def test_of_everybody(self, many, loaded):
        """However many users there are."""
        records = many.records(limit=20)
        assert [r.id for r in records] == sorted((r.id for r in records), key=age)
        assert len(records) == 20
        assert len(loaded) <= 25

    def test_of_one_user(self, many, loaded):
        user = {"user_path": "/plone/acl_users", "user_id": "user7"}
        assert {r.user_id for r in many.records(**user)} == {"user7"}
        assert len(loaded) == 10

    def test_counts(self, many, loaded):
        assert many.count(states="queued") == 500
        user = {"user_path": "/plone/acl_users", "user_id": "user7"}
        assert many.count(states="queued", **user) == 10
        assert loaded == []


def age(id):
    return -number_of(id)
