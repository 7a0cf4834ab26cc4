"""Many tasks, scheduled and executed by two instances, of which one is killed."""

from choosing import only_on_zeo
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest


pytestmark = pytest.mark.slow

NUMBERS = {"zeo": 600, "postgresql": 100, "sqlite": 100}  # of tasks
FOLDERS = 20
TIMEOUT = 600  # seconds
THREADS = 8  # of two servers, which have four each


@pytest.fixture
def folders(cluster):
    """Contexts for tasks."""
    (a,) = cluster.run(a={})
    for number in range(FOLDERS):
        a.rest("POST", "", **{"@type": "Folder", "title": f"folder {number}"})


def test_each_is_executed_exactly_once(cluster, folders):
    """By two instances, of which one is killed, and started again."""
    a, b = cluster.run(a={}, b={})
    number = NUMBERS[cluster.name]
    marks = [f"{one} of {number}" for one in range(number)]
    with ThreadPoolExecutor() as threads:
        for instance, part in ((a, marks[::2]), (b, marks[1::2])):
            threads.submit(instance.schedule_many, "create", part, rerun=True)
    # One after the other, as they all conflict; so that may be one instance only.
    cluster.who("in queue default: succeeded", times=number // 12).kill()
    a, b = cluster.run(a={}, b={})
    b.wait_all(TIMEOUT)
    once = dict.fromkeys(marks, 1)
    left = b.marks()
    assert {mark: left.get(mark) for mark in marks} == once
    titles = Counter(b.titles())
    assert {mark: titles[mark] for mark in marks} == once
    records = b.scheduler("records", text=f"of {number}", limit=None)
    assert Counter(record["title"] for record in records) == once
    assert {record["state"] for record in records} == {"succeeded"}


def test_those_who_schedule_at_the_same_time_do_not_conflict(cluster, folders):
    """But for a tree that is split, now and then."""
    instances = cluster.run(web={"role": "web"}, a={})
    instances[0].scheduler("pause", "default")
    each = 100
    with ThreadPoolExecutor(THREADS) as threads:
        conflicts = list(
            threads.map(
                lambda number: instances[number % 2].schedule_many(
                    "answer", [f"thread {number}"] * each
                ),
                range(THREADS),
            )
        )
    instances[0].scheduler("resume", "default")
    instances[0].wait_all()
    assert instances[0].scheduler("count", text="thread ") == THREADS * each
    assert sum(conflicts) <= THREADS * each / 100, conflicts


@only_on_zeo
def test_those_that_write_the_same_object_all_get_through(cluster, folders):
    """One after the other, so none fails, however often it has conflicted."""
    a, b = cluster.run(a={}, b={})
    before = a.scheduler("count", states=["failed"])
    marks = ["all the same"] * 250
    with ThreadPoolExecutor() as threads:
        for instance in (a, b):
            threads.submit(instance.schedule_many, "write", marks, rerun=True)
    b.wait_all(TIMEOUT)
    assert a.marks()["all the same"] == 2 * len(marks)
    assert a.scheduler("count", states=["failed"]) == before
