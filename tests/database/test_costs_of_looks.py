"""What a look costs: what is new, and not what waits.

Counted are objects that are loaded from the storage, and stored.
"""

from bare import Bare
from collective.background.database.look import Look
from collective.background.database.looking import usual
from collective.background.database.private import connected
from collective.background.database.shard import new_id
from collective.background.database.shard import SHARDS
from collective.background.database.tasks import StoredTask
from functools import partial

import pytest


FEW, MANY = 100, 10_000
USERS = 10
CACHE = 30_000  # objects, as Plone has it


@pytest.fixture(scope="module", params=[FEW, MANY])
def filled(request):
    """A scheduler with so many tasks of several users that wait for a slot."""
    bare = Bare()
    bare.database.setCacheSize(CACHE)
    first = bare.add()
    bare.manager.commit()
    state = first.__getstate__()
    shards = bare.scheduler.shards
    for number in range(request.param):
        task = StoredTask.__new__(StoredTask)
        task.__setstate__(state)
        task.id, task.number = new_id(bare.connection)
        task.user_id = f"user{number % USERS}"
        shards.add(task)
    bare.manager.commit()
    bare.connection.cacheMinimize()
    bare.manager.begin()
    yield bare
    bare.close()


def loads_of(bare, work):
    """Return how many objects are loaded for ``work()``."""
    bare.connection.getTransferCounts(clear=True)
    work()
    loads, _ = bare.connection.getTransferCounts(clear=True)
    return loads


def schedule_elsewhere(bare):
    """Schedule a task in another connection, as a request does."""
    with connected(bare.database, bare.scheduler._p_oid) as (mine, manager):
        task = StoredTask.__new__(StoredTask)
        task.__setstate__(next(iter(mine.shards.waiting())).__getstate__())
        task.id, task.number = new_id(mine._p_jar)
        mine.shards.add(task)
        manager.commit()
    bare.manager.begin()


def test_the_first_one_loads_the_heads_only(filled):
    """Of each shard, of its lines, and what is reserved."""
    feeder = filled.feeder(concurrency=2)
    filled.connection.cacheMinimize()
    assert loads_of(filled, lambda: usual(filled.look(feeder))) < 14 * SHARDS
    filled.manager.abort()


def test_the_next_one_loads_what_is_new(filled):
    feeder = filled.feeder(concurrency=2)
    for _ in range(2):  # the second one has counted what waits
        filled.see_to(feeder, usual)
    assert len(feeder.held) == 4
    for _ in range(5):
        schedule_elsewhere(filled)
        # Another shard is found by its number, and the lines by their keys.
        assert loads_of(filled, lambda: usual(filled.look(feeder))) <= 8
    for held in list(feeder.held.values()):
        filled.see_to(feeder, partial(Look.drop, held=held))


def test_it_writes_what_is_reserved(filled):
    """The tasks, and what the instance has; nothing of the index."""
    feeder = filled.feeder(concurrency=2)
    filled.see_to(feeder, Look.reserve)
    for held in list(feeder.held.values()):
        filled.see_to(feeder, partial(Look.drop, held=held))
    look = filled.look(feeder)
    look.reserve()
    look.finish()
    changed = [type(obj).__name__ for obj in filled.connection._registered_objects]
    assert sorted(changed) == ["Holding", *["StoredTask"] * 4]
    filled.manager.abort()


def test_nothing_new_loads_nothing(filled):
    feeder = filled.feeder(concurrency=2)
    for _ in range(2):
        filled.see_to(feeder, usual)
    assert loads_of(filled, lambda: usual(filled.look(feeder))) == 0
    filled.manager.abort()
