"""Tasks with locks, and in a queue with a limit, in a site: they really run."""

from another import until
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.database.instances import instances_for
from helpers import TIMEOUT
from threading import Lock

import pytest
import transaction


NUMBER = 12

_at_work = Lock()


def alone():
    """Fail if another one is at work."""
    assert _at_work.acquire(blocking=False)
    try:
        transaction.savepoint()  # others may have their turn
    finally:
        _at_work.release()


def states_of(ids):
    transaction.commit()
    scheduler = get_scheduler()
    return {scheduler.wait(id, TIMEOUT).state for id in ids}


@pytest.fixture
def limited(site, settings):
    """To be used before ``scheduler``."""
    settings(concurrency=4, limits={"default": 1})


def test_one_at_a_time(scheduler):
    ids = [using(lock=("erp", "/a")).schedule(alone) for _ in range(NUMBER)]
    assert states_of(ids) == {"succeeded"}


def test_in_a_queue_with_a_limit(limited, scheduler):
    assert states_of([schedule(alone) for _ in range(NUMBER)]) == {"succeeded"}


def test_others_know_of_a_limit(limited, scheduler):
    until(lambda: scheduler.instances())
    (instance,) = instances_for(scheduler).values()
    assert instance.limits == {"default": 1}


def test_after_another_one(scheduler):
    first = using(lock="erp").schedule(alone)
    second = using(lock="erp", after=first).schedule(alone)
    assert states_of([first, second]) == {"succeeded"}
