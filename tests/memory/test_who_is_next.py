"""Locks, limits and turns of users, of tasks in memory."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import task
from collective.background import using
from collective.background.exceptions import Retry
from helpers import add_users
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from threading import Lock
from zope.component.hooks import site as in_site

import pytest
import transaction


@task
def tell(record):
    """A callback."""


class Alone:
    """Tasks that fail when two of them run at once."""

    def __init__(self):
        lock = Lock()
        runs = self.runs = []

        def task():
            assert lock.acquire(blocking=False)
            runs.append(current_task().id)
            lock.release()

        self.task = task


@pytest.fixture
def alone():
    return Alone()


@pytest.fixture
def scheduler(make_scheduler):
    return make_scheduler(concurrency=3, queues={"imports": 2})


def states_of(*ids):
    return [get_scheduler().record(id).state for id in ids]


def hold(gate, **options):
    """Let a task stand at the gate; return its id."""
    task_id = using(**options).schedule(gate.task)
    transaction.commit()
    gate.wait()
    return task_id


class TestLocks:
    def test_one_runs_at_a_time(self, scheduler, alone):
        for number in range(30):
            using(lock="erp", queue=["default", "imports"][number % 2]).schedule(
                alone.task
            )
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert scheduler.count(states="succeeded") == len(alone.runs) == 30

    def test_who_waits_uses_no_slot(self, scheduler, gate, until):
        hold(gate, lock="erp")
        behind = [using(lock="erp").schedule(int) for _ in range(5)]
        assert finished(schedule(int)).state == "succeeded"
        assert states_of(*behind) == ["queued"] * 5
        until(lambda: scheduler.queues()[0].running == 1)
        assert scheduler.queues()[0].waiting == 5
        gate.open()
        scheduler.wait_all(TIMEOUT)
        assert states_of(*behind) == ["succeeded"] * 5

    def test_by_priority_and_age_whoever_it_is(self, scheduler, gate):
        hold(gate, lock="erp")
        started = []
        for name, priority in [("a", 0), ("b", 0), ("c", 5), ("d", 0), ("e", 5)]:
            using(lock="erp", priority=priority).schedule(
                lambda name=name: started.append(name)
            )
        transaction.commit()
        gate.open()
        scheduler.wait_all(TIMEOUT)
        assert started == ["c", "e", "a", "b", "d"]

    def test_may_depend_on_the_arguments(self, scheduler, gate):
        hold(gate, lock=("/a", "/b"))
        by_path = using(lock=lambda path: path)
        behind = by_path.schedule(str, "/b")
        for path in ("/a/b", "", "/c"):
            assert finished(by_path.schedule(str, path)).state == "succeeded"
        assert states_of(behind) == ["queued"]

    def test_what_waits_for_another_attempt_has_none(self, scheduler):
        def work():
            raise Retry("not yet", delay=3600)

        retrying = using(lock="erp").schedule(work)
        assert finished(using(lock="erp").schedule(int)).state == "succeeded"
        assert states_of(retrying) == ["retrying"]
        scheduler.cancel(retrying)

    def test_what_is_delayed_or_paused_stands_in_no_line(self, scheduler):
        delayed = using(lock="erp", delay=3600).schedule(int)
        with waiting():
            paused = using(lock="erp").schedule(int)
            transaction.commit()
            other = using(lock="erp", queue="imports").schedule(int)
            assert finished(other).state == "succeeded"
            assert states_of(delayed, paused) == ["queued", "queued"]
        assert scheduler.wait(paused, TIMEOUT).state == "succeeded"
        scheduler.cancel(delayed)

    def test_what_is_cancelled_makes_way(self, scheduler, gate):
        hold(gate, lock="x")
        both, y = (using(lock=lock).schedule(int) for lock in (("x", "y"), "y"))
        transaction.commit()
        assert states_of(both, y) == ["queued", "queued"]
        scheduler.cancel(both)
        assert scheduler.wait(y, TIMEOUT).state == "succeeded"

    def test_nor_has_who_finds_no_thread(self, scheduler, refuse):
        refuse["background-default-"] = 1
        ids = [using(lock="erp").schedule(int) for _ in range(3)]
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert states_of(*ids) == ["failed", "succeeded", "succeeded"]

    def test_callbacks_may_have_some(self, scheduler, gate, until):
        hold(gate, lock="erp")
        callback = tell.using(lock="erp", title="Tells")
        assert finished(using(on_success=callback).schedule(int)).state == "succeeded"
        until(lambda: scheduler.queues()[0].waiting == 1)
        (behind,) = scheduler.records(states="queued")
        assert behind.title == "Tells"
        gate.open()
        assert scheduler.wait(behind.id, TIMEOUT).state == "succeeded"

    def test_a_small_batch_with_one_is_not_done_at_once(self, scheduler, gate):
        hold(gate, lock="erp")
        with_lock = using(lock=lambda items: items)
        behind = with_lock.schedule_batch(str, ["erp"], inline_below=5)
        done = schedule_batch(str, ["erp"], inline_below=5)
        transaction.commit()
        assert states_of(behind, done) == ["queued", "succeeded"]


class TestLimits:
    def test_so_many_run_at_once(self, make_scheduler, alone):
        scheduler = make_scheduler(concurrency=3, limits={"default": 1, "mail": 5})
        for _ in range(30):
            schedule(alone.task)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert scheduler.count(states="succeeded") == len(alone.runs) == 30

    def test_each_site_has_its_own(self, site, make_scheduler, gate):
        make_scheduler(concurrency=3, limits={"default": 1})
        hold(gate)
        here = schedule(int)
        with in_site(None):
            elsewhere = schedule(int)
        assert finished(elsewhere).state == "succeeded"
        assert states_of(here) == ["queued"]


def test_slots_go_round_the_users(site, make_scheduler):
    scheduler = make_scheduler(concurrency=1)
    add_users(site, {"anna": [], "ben": []})
    started = []
    with waiting():
        for user in ["anna"] * 4 + ["ben"] * 2:
            using(user=user).schedule(lambda user=user: started.append(user))
        transaction.commit()
    scheduler.wait_all(TIMEOUT)
    assert started == ["anna", "ben", "anna", "ben", "anna", "anna"]
