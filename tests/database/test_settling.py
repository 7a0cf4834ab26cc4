"""What follows when a task has ended: callbacks, successors, groups, others' wishes."""

from another import Another
from another import elsewhere
from another import until
from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database import changes
from collective.background.database import following
from collective.background.database import groups
from collective.background.database import outbox
from collective.background.database.lines import by_priority
from collective.background.database.look import Look
from collective.background.database.settling import News
from collective.background.database.settling import settle
from collective.background.exceptions import Retry
from collective.background.interfaces import ITaskScheduled
from collective.background.running import outcome
from gated_tasks import create
from gated_tasks import fail
from gated_tasks import gated
from gated_tasks import note
from helpers import finished
from helpers import TIMEOUT
from itertools import pairwise
from threading import Event
from ZODB.POSException import ConflictError

import pytest
import transaction


def settled_by(other, task_id, scheduler=None):
    """Let another instance that has begun a task settle that it has succeeded."""
    scheduler = scheduler or get_scheduler()
    stored = other.commits(task_id)
    scheduler.shards.leave(stored)
    stored.end(outcome.succeeded(None))
    news = News()
    settle(scheduler, stored, news)
    del scheduler.holdings[other.id]
    return news


class TestIndex:
    def test_is_changed_once(self, scheduler, gates):
        """Not while a task is reserved, begun, and worked on."""
        task_id = schedule(gated)
        transaction.commit()
        shard = scheduler.shards.of(task_id)
        waiting = shard.waiting._p_serial
        gates.wait()
        transaction.begin()
        shard.waiting._p_activate()
        assert shard.waiting._p_serial == waiting
        assert scheduler.count(states="running") == 1
        gates.opened.set()
        scheduler.wait(task_id, TIMEOUT)
        transaction.begin()
        shard.waiting._p_activate()
        assert shard.waiting._p_serial > waiting

    def test_work_that_is_committed_counts_as_success_before_that(
        self, paused, another
    ):
        task_id = schedule(len, "x")
        another.commits(task_id, result=1)
        transaction.commit()
        assert paused.shards.find(task_id).state == "queued"
        assert paused.record(task_id).state == "succeeded"
        assert paused.count(states="succeeded") == 1
        assert paused.count(states=["queued", "running"]) == 0
        assert [r.id for r in paused.records(states="succeeded")] == [task_id]
        assert paused.completed(task_id)
        assert paused.peek_result(task_id) == 1
        assert paused.cancel(task_id).state == "succeeded"


class TestCallbacks:
    def test_are_there_when_wait_returns(self, scheduler):
        for _ in range(3):
            before = scheduler.count()
            finished(using(on_success=note).schedule(len, "x"))
            assert scheduler.count() == before + 2

    def test_begin_as_soon_as_they_are_committed(self, scheduler, caplog):
        """Though they are reserved by the transaction that schedules them."""
        finished(using(on_success=note).schedule(len, "x"))
        scheduler.wait_all(TIMEOUT)
        assert [line for line in caplog.records if line.exc_info] == []

    def test_are_announced_as_scheduled(self, scheduler, subscribe):
        told = []
        subscribe(ITaskScheduled, lambda event: told.append(event.record))
        finished(using(title="Work", on_success=note).schedule(len, "x"))
        scheduler.wait_all(TIMEOUT)
        assert [record.title for record in told] == ["Work", "Work: gated_tasks.note"]
        assert scheduler.record(told[-1].id) is not None

    def test_are_made_though_the_result_is_read_at_once(
        self, short_lease, paused, another, persistent_site
    ):
        """Before anybody has settled the end, and though it is forgotten then."""
        task_id = using(title="Work", on_success=note).schedule(len, "x")
        another.commits(task_id, result=1)
        transaction.commit()
        assert paused.get_result(task_id) == (1, None)
        transaction.commit()
        paused.resume("default")  # another is dead, so this one settles
        until(lambda: paused.record(task_id) is None)
        paused.wait_all(TIMEOUT)
        transaction.begin()
        assert persistent_site.description == "Work: succeeded"


class TestSuccessors:
    def test_stand_in_line_as_soon_as_the_end_is_settled(self, paused, another):
        """By whatever instance: also one that has not their queue."""
        first = schedule(len, "x")
        second = using(after=first).schedule(len, "y")
        assert second not in in_line(paused)
        settled_by(another, first)
        assert second in in_line(paused)
        assert paused.shards.successors(first) == []

    def test_do_not_depend_on_what_becomes_of_the_first(self, paused, another, folder):
        first = schedule(len, "x")
        second = using(after=first).schedule(create, folder, "new")
        settled_by(another, first)
        transaction.commit()
        paused.remove(first)
        paused.resume("default")
        assert paused.wait(second, TIMEOUT).state == "succeeded"

    def test_nor_between_their_attempts(self, scheduler, gates):
        first = finished(schedule(len, "x")).id
        second = using(after=first).schedule(try_again)
        transaction.commit()
        gates.wait()
        scheduler.remove(first)
        gates.opened.set()
        assert scheduler.wait(second, TIMEOUT).state == "succeeded"

    def test_a_chain(self, scheduler):
        """However long it is: the next one starts when the end is written."""
        ids = [schedule(len, "x")]
        for _ in range(20):
            ids.append(using(after=ids[-1]).schedule(len, "x"))
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        records = [scheduler.record(task_id) for task_id in ids]
        assert {record.state for record in records} == {"succeeded"}
        for before, after in pairwise(records):
            assert before.finished <= after.started

    def test_a_long_chain_in_vain(self, scheduler):
        ids = [schedule(fail)]
        for _ in range(200):
            ids.append(using(after=ids[-1]).schedule(len, "x"))
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert scheduler.count(states="cancelled") == 200

    @pytest.mark.parametrize("order", [[0, 1], [1, 0]])
    def test_one_that_is_scheduled_while_the_first_ends(self, paused, another, order):
        first = schedule(len, "x")
        transaction.commit()
        with elsewhere(paused) as (mine, manager):
            other = Another(scheduler=mine)
            settled_by(other, first, mine)
            second = using(after=first).schedule(len, "y")
            commits = [manager.commit, transaction.commit]
            commits[order[0]]()
            try:
                commits[order[1]]()
            except ConflictError:
                assert order == [1, 0]  # who ends it looks once more
                manager.begin()
                settled_by(other, first, mine)
                manager.commit()
        until(lambda: second in in_line(paused))


def in_line(scheduler):
    return [task.id for _, task in by_priority(scheduler.shards, "default")]


def try_again():
    gated()
    if get_scheduler().record(current_task().id).attempts == 1:
        raise Retry(delay=0)


def two_are_left():
    """Return a group, and the ids of those of its tasks that have not ended."""
    with group("All", on_failure=note) as whole:
        first, *ids = [schedule(len, "x") for _ in range(3)]
    transaction.commit()
    get_scheduler().cancel(first)
    transaction.begin()
    return whole, ids


@pytest.fixture
def many_are_left(monkeypatch):
    """Two are so many that they do not conflict."""
    monkeypatch.setattr(groups, "FEW", 0)


class TestGroups:
    def test_the_last_ones_that_end_at_once_conflict(self, paused):
        """So one of them sees that all have ended."""
        whole, ids = two_are_left()
        with elsewhere(paused) as (one, ends_one), elsewhere(paused) as (two, ends_two):
            changes.cancel(one, ids[0], News())
            changes.cancel(two, ids[1], News())
            ends_one.commit()
            with pytest.raises(ConflictError):
                ends_two.commit()
            ends_two.begin()
            changes.cancel(two, ids[1], News())
            ends_two.commit()
        transaction.begin()
        assert paused.record(whole.id).state == "cancelled"

    @pytest.mark.usefixtures("many_are_left")
    def test_the_last_two_that_end_at_once(self, paused, persistent_site):
        """Neither sees that all have ended; the next look does."""
        until(lambda: outbox.feeder_of(paused))
        whole, ids = two_are_left()
        news = News()
        with elsewhere(paused) as (one, ends_one), elsewhere(paused) as (two, ends_two):
            changes.cancel(one, ids[0], news)
            changes.cancel(two, ids[1], news)
            ends_one.commit()
            ends_two.commit()
        transaction.begin()
        assert paused.groups[whole.id].is_over
        assert paused.groups[whole.id].ending is None
        outbox.wake_up(paused, news)
        until(lambda: paused.groups[whole.id].ending)

    @pytest.mark.usefixtures("many_are_left")
    def test_and_the_second_one_while_a_look_sees_to_the_first(
        self, paused, monkeypatch
    ):
        """Which does not see the second one yet."""
        until(lambda: outbox.feeder_of(paused))
        whole, ids = two_are_left()
        first, second = News(), News()
        check_groups = following.check_groups
        was_late = Event()
        with elsewhere(paused) as (one, ends_one), elsewhere(paused) as (two, ends_two):
            changes.cancel(one, ids[0], first)
            changes.cancel(two, ids[1], second)
            ends_one.commit()

            def check_and_be_late(look):
                check_groups(look)
                if whole.id in look.touched and not was_late.is_set():
                    ends_two.commit()
                    outbox.wake_up(paused, second)
                    was_late.set()

            monkeypatch.setattr(following, "check_groups", check_and_be_late)
            outbox.wake_up(paused, first)
            assert was_late.wait(TIMEOUT)
        until(lambda: paused.groups[whole.id].ending)

    @pytest.mark.usefixtures("many_are_left")
    def test_and_in_a_process_that_does_not_serve(self, idle_site):
        """It has no looks, and so it sees to it itself."""
        scheduler = get_scheduler()
        whole, ids = two_are_left()
        news = News()
        with elsewhere(scheduler) as (one, ends), elsewhere(scheduler) as (two, too):
            changes.cancel(one, ids[0], news)
            changes.cancel(two, ids[1], news)
            ends.commit()
            too.commit()
        transaction.begin()
        assert scheduler.groups[whole.id].ending is None
        outbox.wake_up(scheduler, news)
        transaction.begin()
        assert scheduler.groups[whole.id].ending

    def test_one_whose_first_task_is_run_at_once(self, scheduler, persistent_site):
        with group("All", on_success=note):
            schedule_batch(len, ["a"], inline_below=2)
            using(title="The last").schedule(len, "b")
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        (callback,) = scheduler.records(text="All:")
        (last,) = scheduler.records(text="The last")
        assert callback.created >= last.finished
        assert persistent_site.description == "All: succeeded"

    def test_one_end_loads_no_other_member(self, paused, another):
        """However many there are."""
        with group("All"):
            ids = [schedule(len, "x") for _ in range(50)]
        transaction.commit()
        with elsewhere(paused) as (mine, manager):
            mine._p_jar.cacheMinimize()
            mine._p_jar.getTransferCounts(clear=True)
            news = News()
            changes.cancel(mine, ids[0], news)
            loaded, _ = mine._p_jar.getTransferCounts()
            manager.abort()
        assert loaded < 40


class TestFailures:
    def test_a_repeated_try_to_write_one_counts_it_once(self, scheduler, monkeypatch):
        """Or the task would have fewer retries than it should."""
        finish = Look.finish
        conflicts = [ConflictError("simulated") for _ in range(2)]

        def finish_or_not(self):
            if conflicts and any(r.state == "retrying" for r in self.news.reached):
                raise conflicts.pop()
            finish(self)

        monkeypatch.setattr(Look, "finish", finish_or_not)
        record = finished(using(retries=2, backoff=0.01).schedule(fail))
        assert conflicts == []
        assert (record.state, record.attempts) == ("failed", 3)

    def test_what_is_forgotten_before_its_end_is_settled_follows_nevertheless(
        self, scheduler, gates
    ):
        first = schedule(gated)
        second = using(after=first).schedule(len, "x")
        transaction.commit()
        gates.wait()
        scheduler.remove(first)
        gates.opened.set()
        assert scheduler.wait(second, TIMEOUT).state == "succeeded"
        until(lambda: scheduler.record(first) is None)
