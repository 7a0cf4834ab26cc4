"""What people do to tasks while instances have them: cancel, remove, try again."""

from another import elsewhere
from another import OTHER
from another import until
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.database import ahead
from collective.background.database import changes
from collective.background.database import claims
from collective.background.database import following
from collective.background.database import outbox
from collective.background.database.settling import News
from collective.background.database.settling import settle
from collective.background.database.shard import CANCEL
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import TaskNotFound
from collective.background.running import outcome
from gated_tasks import create
from gated_tasks import fail
from gated_tasks import gated
from gated_tasks import gated_until_cancelled
from helpers import finished
from helpers import TIMEOUT
from threading import Event
from ZODB.POSException import ConflictError

import pytest
import transaction


def has_seen_all():
    """Whether this process has seen all that is wanted of its tasks."""
    scheduler = get_scheduler()
    feeder = outbox.feeder_of(scheduler)
    return feeder.changes == scheduler.shards.changes()


class TestCancel:
    def test_of_a_task_that_was_not_loaded_yet(self, paused):
        task_id = schedule(len, "x")
        transaction.commit()
        with elsewhere(paused) as (mine, manager):
            mine._p_jar.cacheMinimize()
            mine.cancel(task_id)
            manager.abort()
        transaction.begin()
        assert paused.record(task_id).state == "cancelled"

    def test_of_one_that_is_reserved_asks_its_instance(self, paused, another):
        task_id = schedule(len, "x")
        another.reserves(task_id)
        transaction.commit()
        record = paused.cancel(task_id)
        assert (record.state, record.cancel_requested) == ("queued", True)
        until(has_seen_all)
        assert paused.record(task_id).state == "queued"
        assert paused.shards.requested(task_id) == "cancel"

    def test_which_is_this_one(self, scheduler, folder, gates, monkeypatch):
        """What it has reserved, but not begun, never begins."""
        monkeypatch.setattr(ahead, "LONG", 3600.0)
        running = [schedule(gated), schedule(gated)]
        task_id = schedule(create, folder, "new")
        transaction.commit()
        until(lambda: scheduler.shards.find(task_id).is_reserved)
        assert scheduler.cancel(task_id).state == "queued"
        record = scheduler.wait(task_id, TIMEOUT)
        assert (record.state, record.attempts) == ("cancelled", 0)
        gates.opened.set()
        for each in running:
            assert scheduler.wait(each, TIMEOUT).state == "succeeded"
        assert "new" not in folder

    def test_while_it_begins(self, scheduler, gates, monkeypatch):
        is_beginning, may_begin = Event(), Event()
        begin = claims.begin

        def begin_later(*args):
            is_beginning.set()
            assert may_begin.wait(TIMEOUT)
            return begin(*args)

        monkeypatch.setattr(claims, "begin", begin_later)
        task_id = schedule(gated_until_cancelled)
        transaction.commit()
        assert is_beginning.wait(TIMEOUT)
        scheduler.cancel(task_id)
        until(has_seen_all)
        may_begin.set()
        assert scheduler.wait(task_id, TIMEOUT).state == "cancelled"
        assert not gates.begun.is_set()


class TestRemove:
    def test_of_what_was_removed_meanwhile(self, paused):
        task_id = schedule(len, "x")
        transaction.commit()
        transaction.begin()
        paused.remove(task_id)
        assert paused.record(task_id) is None
        paused.remove(task_id)
        with pytest.raises(TaskNotFound):
            paused.cancel(task_id)

    def test_of_one_that_its_instance_has_given_back(self, bare):
        """It was to be forgotten with its end, and the second time ends it."""
        stored = bare.add()
        stored.reserve(OTHER)
        changes.remove(bare.scheduler, stored.id, News())
        stored.release()
        changes.remove(bare.scheduler, stored.id, News())
        assert bare.scheduler.shards.find(stored.id) is None

    def test_of_one_that_another_instance_runs(self, paused, another):
        task_id = schedule(len, "x")
        another.begins(task_id)
        transaction.commit()
        paused.remove(task_id)
        transaction.begin()
        assert paused.record(task_id).cancel_requested
        end(paused, task_id)
        transaction.commit()
        assert paused.record(task_id) is None


def end(scheduler, task_id):
    """A task has failed in the instance that has it, which settles its end."""
    stored = scheduler.shards.find(task_id)
    scheduler.shards.leave(stored)
    stored.end(outcome.failed(ValueError("simulated")))
    settle(scheduler, stored, News())


class TestAtTheSameTime:
    @pytest.mark.parametrize("change", [changes.cancel, changes.remove])
    def test_a_task_is_asked_to_stop_and_ends(self, paused, another, change):
        """Who ends it sees that it was asked."""
        task_id = schedule(len, "x")
        another.begins(task_id)
        transaction.commit()
        with (
            elsewhere(paused) as (asking, asks),
            elsewhere(paused) as (ending, ends),
        ):
            change(asking, task_id, News())
            end(ending, task_id)
            asks.commit()
            with pytest.raises(ConflictError):
                ends.commit()
            ends.begin()
            end(ending, task_id)
            ends.commit()
        transaction.begin()
        assert paused.shards.requested(task_id) is None
        assert (paused.record(task_id) is None) == (change is changes.remove)

    @pytest.mark.parametrize("change", [changes.cancel, changes.remove])
    def test_a_task_ends_and_is_asked_to_stop(self, paused, another, change):
        """The next look sees that there is nothing to stop."""
        task_id = schedule(len, "x")
        another.begins(task_id)
        transaction.commit()
        with (
            elsewhere(paused) as (asking, asks),
            elsewhere(paused) as (ending, ends),
        ):
            change(asking, task_id, News())
            end(ending, task_id)
            ends.commit()
            asks.commit()
        until(lambda: paused.shards.requested(task_id) is None)
        assert (paused.record(task_id) is None) == (change is changes.remove)

    def test_a_task_is_cancelled_and_reserved(self, paused, another):
        task_id = schedule(len, "x")
        transaction.commit()
        with elsewhere(paused) as (mine, manager):
            changes.cancel(mine, task_id, News())
            another.reserves(task_id)
            transaction.commit()
            with pytest.raises(ConflictError):
                manager.commit()

    def test_the_last_two_of_a_group_are_removed(self, paused):
        """One of them sees that the group is empty then."""
        with group("All") as whole:
            ids = [schedule(len, "x"), schedule(len, "y")]
        transaction.commit()
        with elsewhere(paused) as (one, first), elsewhere(paused) as (two, second):
            changes.remove(one, ids[0], News())
            changes.remove(two, ids[1], News())
            first.commit()
            with pytest.raises(ConflictError):
                second.commit()
            second.begin()
            changes.remove(two, ids[1], News())
            second.commit()
        transaction.begin()
        assert whole.id not in paused.groups


class TestUnique:
    @pytest.fixture
    def failed(self, scheduler):
        """The id of a failed task with the key."""
        return finished(using(unique="a").schedule(fail)).id

    def test_who_is_tried_again_has_the_key_again(self, scheduler, failed):
        finished(using(unique="a").schedule(len, "x"))
        scheduler.pause("default")
        scheduler.retry(failed)
        transaction.begin()
        assert using(unique="a").schedule(len, "x") == failed

    def test_one_with_the_same_key_must_have_ended_before(self, scheduler, failed):
        scheduler.pause("default")
        other = using(unique="a").schedule(len, "x")
        transaction.commit()
        with pytest.raises(IllegalTransition, match=other):
            scheduler.retry(failed)

    def test_both_at_the_same_time(self, scheduler, failed):
        """One of them is refused, or repeated by the publisher."""
        scheduler.pause("default")
        transaction.begin()
        other = using(unique="a").schedule(len, "x")
        assert other != failed
        scheduler.retry(failed)
        with pytest.raises(ConflictError):
            transaction.commit()


class TestRetry:
    def test_is_not_cancelled_by_who_was_too_late_before(self, bare):
        """The task ended at the same time, and no look has seen the wish since."""
        stored = bare.add()
        end(bare.scheduler, stored.id)
        bare.scheduler.shards.request(stored.id, CANCEL)
        changes.retry(
            bare.scheduler, stored.id, News(), admit=lambda stored, after: None
        )
        bare.manager.commit()
        following.follow_requests(bare.look(bare.feeder()))
        assert stored.state == "queued"

    def test_what_was_cancelled_waits_for_its_predecessor_again(self, scheduler):
        first = finished(schedule(fail)).id
        second = finished(using(after=first).schedule(len, "x")).id
        assert scheduler.record(second).state == "cancelled"
        scheduler.pause("default")
        scheduler.retry(first)
        scheduler.retry(second)
        transaction.begin()
        assert scheduler.shards.find(second).after == (first,)
        scheduler.resume("default")
        assert scheduler.wait(second, TIMEOUT).state == "cancelled"

    def test_and_is_cancelled_again_while_that_is_failed(self, scheduler):
        first = finished(schedule(fail)).id
        second = finished(using(after=first).schedule(len, "x")).id
        scheduler.retry(second)
        transaction.begin()
        record = scheduler.record(second)
        assert record.state == "cancelled"
        assert first in record.error.message
