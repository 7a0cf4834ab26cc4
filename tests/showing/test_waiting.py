"""Why a task waits, and where, in both tiers."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.database.installing import install
from collective.background.showing.waiting import Reasons
from helpers import add_users
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from threading import Event
from threading import Semaphore
from zope.i18n import translate

import pytest
import transaction


begun, free = Semaphore(0), Event()


def hold():
    begun.release()
    assert free.wait(TIMEOUT)


@pytest.fixture
def held(tier):
    """Return a function: schedule a task that has begun, and goes on after the test."""
    free.clear()

    def held(**options):
        task_id = using(**options).schedule(hold)
        transaction.commit()
        assert begun.acquire(timeout=TIMEOUT)
        transaction.begin()
        return task_id

    yield held
    free.set()
    transaction.abort()
    get_scheduler().wait_all(TIMEOUT)


def committed(*tasks):
    """Commit, and return what was scheduled."""
    transaction.commit()
    return tasks


def reason(task_id, language="en"):
    found = Reasons().of(get_scheduler().record(task_id))
    return None if found is None else translate(found, target_language=language)


def befores(*ids):
    lines = get_scheduler().lines()
    return [lines.standing(id).before for id in ids]


def test_is_said_until_it_begins(tier, site):
    with waiting():
        first = using(title="First step").schedule(int)
        second = using(after=first).schedule(int)
        transaction.commit()
        assert get_scheduler().record(second).after == (first,)
        assert reason(first) == "the queue is paused"
        assert reason(second) == "after “First step”"
    get_scheduler().wait_all(60)
    transaction.begin()
    assert get_scheduler().record(second).after == ()
    assert (reason(first), reason(second)) == (None, None)
    assert get_scheduler().lines().standing(first) is None


def test_is_not_said_before_it_is_scheduled(site):
    task_id = schedule(int)
    assert reason(task_id) is None
    transaction.abort()


def test_is_not_said_of_what_waits_for_its_time(tier, site):
    (task_id,) = committed(using(delay=3600).schedule(int))
    assert reason(task_id) is None
    get_scheduler().cancel(task_id)


def test_how_many_are_before_it(held, site):
    """Those that run are not, and one of a higher priority goes first."""
    held(), held()
    first, second, third, fourth = committed(*(schedule(int) for _ in range(4)))
    (urgent,) = committed(using(priority=1).schedule(int))
    assert befores(urgent, first, second, third, fourth) == [0, 1, 2, 3, 4]
    assert reason(urgent) == "next in line"
    assert reason(second) == "third in line"
    assert reason(third) == "3 tasks before it"
    assert reason(third, "de") == "3 Aufgaben vor ihr"


def test_slots_go_round_the_users(held, site):
    """Who has many tasks is not before who has one."""
    add_users(site, {"other": []})
    with waiting():
        _, second, third = committed(*(schedule(int) for _ in range(3)))
        (theirs,) = committed(using(user="other").schedule(int))
        assert befores(theirs)[0] <= 1
        assert befores(second, third) == [2, 3]


def test_nobody_counts_more_than_a_hundred(held, site):
    held(), held()
    *_, hundredth, last = committed(*(schedule(int) for _ in range(102)))
    assert reason(hundredth) == "100 tasks before it"
    assert reason(last) == "more than 100 tasks before it"


def test_who_has_its_lock(held, site):
    first = held(title="Import", lock="erp")
    second, third = committed(*(using(lock="erp").schedule(int) for _ in range(2)))
    assert get_scheduler().lines().standing(second).holder == first
    assert get_scheduler().lines().running() == {first}
    assert reason(second) == "“Import” has its lock, next in line"
    assert reason(third) == "“Import” has its lock, second in line"
    assert reason(third, "de") == "„Import“ hat ihre Sperre, als Übernächste dran"


def test_the_title_of_anothers_task_is_not_told(held, site):
    add_users(site, {"other": []})
    held(title="Import", lock="erp")
    (theirs,) = committed(using(lock="erp", user="other").schedule(int))
    with api.env.adopt_user(username="other"):
        assert reason(theirs) == "another task has its lock, next in line"


def test_its_queue_has_reached_its_limit(settings, held, site):
    settings(limits={"default": 1})
    held()
    (second,) = committed(schedule(int))
    assert reason(second) == "the queue has reached its limit, next in line"


def test_no_process_executes_its_queue(site):
    install(site)
    (task_id,) = committed(schedule(int))
    assert reason(task_id) == "no process executes the queue “default”"


def test_on_a_copy_nothing_of_that_is_said(held, copied):
    """It waits for something else."""
    (task_id,) = committed(schedule(int))
    assert reason(task_id) is None
    get_scheduler().cancel(task_id)
