"""What is done to large groups is done to some of their members at a time."""

from another import elsewhere
from another import until
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.database import changes
from collective.background.database import portions
from collective.background.database.settling import News
from collective.background.exceptions import IllegalTransition
from gated_tasks import fail
from gated_tasks import gated_until_cancelled
from gated_tasks import note
from helpers import TIMEOUT
from itertools import pairwise

import pytest
import transaction


MANY = 25
FOR_EVER = 1e12  # seconds


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    """And who comes first by his id is the one that sees to all of them."""
    monkeypatch.setattr(changes, "PORTION", 10)
    monkeypatch.setattr(portions, "TURN", FOR_EVER)


def many(function=len, **options):
    with group("Many", on_success=note, on_failure=note, **options) as whole:
        ids = [schedule(function, *["x"] * (function is len)) for _ in range(MANY)]
    transaction.commit()
    return whole.id, ids


def states(scheduler, ids):
    transaction.begin()
    return {scheduler.record(id).state for id in ids}


def retry_in_vain(scheduler, whole):
    """Cancel a group, and retry it once its key "a" is another's; not all succeed."""
    scheduler.cancel(whole)
    scheduler.wait(whole, TIMEOUT)
    transaction.begin()
    using(unique="a", delay=3600).schedule(len, "x")  # it has the key until the end
    transaction.commit()
    scheduler.retry(whole)
    transaction.begin()
    scheduler.resume("default")
    assert scheduler.wait(whole, TIMEOUT).state == "cancelled"


class TestCancel:
    def test_stops_what_runs_and_starts_nothing_more(self, scheduler, gates):
        whole, ids = many(gated_until_cancelled)
        gates.wait()
        record = scheduler.cancel(whole)
        assert (record.state, record.cancel_requested) == ("running", True)
        record = scheduler.wait(whole, TIMEOUT)
        assert (record.state, record.progress.done) == ("cancelled", MANY)
        assert states(scheduler, ids) == {"cancelled"}
        begun = [id for id in ids if scheduler.record(id).attempts]
        assert len(begun) < MANY

    def test_is_one_short_transaction(self, paused, another):
        """However many members there are, and whatever happens to them meanwhile."""
        whole, ids = many()
        with (
            elsewhere(paused) as (mine, manager),
            elsewhere(paused) as (other, ends),
        ):
            mine._p_jar.cacheMinimize()
            mine._p_jar.getTransferCounts(clear=True)
            changes.cancel(mine, whole, News())
            loaded, _ = mine._p_jar.getTransferCounts()
            changes.cancel(other, ids[0], News())
            ends.commit()
            manager.commit()
        assert loaded < 20

    def test_what_is_marked_is_not_reserved(self, paused, another):
        """Though another instance is to see to it, which does not so far."""
        whole, ids = many()
        paused.cancel(whole)
        transaction.begin()
        paused.resume("default")
        # Of what comes first, each instance takes its own part.
        others = [using(priority=1).schedule(len, "y") for _ in range(20)]
        transaction.commit()
        until(lambda: "succeeded" in states(paused, others))
        assert states(paused, ids) == {"queued"}

    def test_nor_tried_again_at_this_moment(self, paused, another):
        whole, ids = many()
        paused.cancel(ids[0])
        paused.cancel(whole)
        transaction.begin()
        with pytest.raises(IllegalTransition, match="in a moment"):
            paused.retry(ids[0])

    def test_goes_on_though_an_instance_stands_still(
        self, paused, another, monkeypatch
    ):
        """That may be alive, and work for other sites only."""
        monkeypatch.setattr(portions, "TURN", 0.05)
        whole, _ = many()
        paused.cancel(whole)
        assert paused.wait(whole, TIMEOUT).state == "cancelled"
        assert another.is_known()

    def test_goes_on_when_the_instance_is_dead(
        self, short_lease, paused, another, persistent_site
    ):
        whole, ids = many()
        paused.cancel(whole)
        assert paused.wait(whole, TIMEOUT).state == "cancelled"
        assert states(paused, ids) == {"cancelled"}


class TestRetry:
    def test_queues_all_again_in_their_order(self, paused):
        whole, ids = many(ordered=True)
        paused.cancel(whole)
        paused.wait(whole, TIMEOUT)
        transaction.begin()
        assert paused.retry(whole).state in ("queued", "running")
        transaction.begin()
        paused.resume("default")
        record = paused.wait(whole, TIMEOUT)
        assert (record.state, record.progress.done) == ("succeeded", MANY)
        transaction.begin()
        records = [paused.record(id) for id in ids]
        assert all(a.finished <= b.started for a, b in pairwise(records))

    def test_tells_the_end_once(self, scheduler, persistent_site):
        """Not between two portions."""
        whole, ids = many(fail)
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        before = scheduler.count(text="Many: ")
        scheduler.retry(whole)
        until(lambda: scheduler.record(ids[-1]).attempts == 2)
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert scheduler.record(whole).state == "failed"
        assert scheduler.count(text="Many: ") == before + 1

    def test_of_what_is_to_start_after_one_that_comes_later(self, paused):
        """As an inner group, whose id is as it happens."""
        with group("Many", ordered=True) as whole:
            first = schedule(len, "x")
            inner = []
            for _ in range(MANY):
                with group() as each:
                    schedule(len, "y")
                inner.append(each.id)
            last = schedule(len, "z")
        transaction.commit()
        paused.cancel(first)  # and so all others
        assert paused.wait(whole.id, TIMEOUT).state == "cancelled"
        transaction.begin()
        paused.retry(whole.id)
        transaction.begin()
        paused.resume("default")
        assert paused.wait(whole.id, TIMEOUT).state == "succeeded"
        transaction.begin()
        records = [paused.record(id) for id in (first, *inner, last)]
        assert all(a.finished <= b.started for a, b in pairwise(records))

    def test_leaves_those_whose_key_is_taken(self, paused):
        with group("Many") as whole:
            first = using(unique="a").schedule(len, "x")
            for _ in range(MANY):
                schedule(len, "x")
        transaction.commit()
        retry_in_vain(paused, whole.id)
        transaction.begin()
        assert paused.record(whole.id).progress.done == MANY + 1
        assert paused.record(first).state == "cancelled"
        assert paused.count(group_id=whole.id, states="succeeded") == MANY

    @pytest.mark.parametrize("ordered", [False, True])
    def test_of_an_inner_group_in_which_a_key_is_taken(self, paused, ordered):
        """The others of that group start all the same."""
        with group("Many") as whole:
            with group("Inner", ordered=ordered):
                before = [schedule(len, "x") for _ in range(2)]
                first = using(unique="a").schedule(len, "x")
                after = [schedule(len, "x")]
            for _ in range(MANY):
                schedule(len, "x")
        transaction.commit()
        retry_in_vain(paused, whole.id)
        assert states(paused, before) == {"succeeded"}
        assert states(paused, [first]) == {"cancelled"}
        assert states(paused, after) == {"cancelled" if ordered else "succeeded"}


class TestDismissAndRemove:
    def test_dismiss(self, scheduler):
        whole, _ = many()
        scheduler.wait(whole, TIMEOUT)
        transaction.begin()
        assert scheduler.dismiss(whole).dismissed
        until(lambda: scheduler.count(group_id=whole, dismissed=True) == MANY)

    def test_remove(self, paused, persistent_site):
        whole, ids = many()
        paused.remove(whole)
        until(lambda: paused.record(whole) is None)
        assert not any(paused.record(id) for id in ids)
        assert paused.count(text="Many: ") == 0

    def test_what_is_removed_is_not_tried_again(self, paused, another):
        whole, ids = many()
        paused.cancel(ids[0])
        paused.remove(whole)
        transaction.begin()
        with pytest.raises(IllegalTransition):
            paused.retry(whole)
