"""Groups: their owner, their end, and what stays of forgotten members."""

from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import BadOption
from helpers import add_users
from helpers import TIMEOUT
from itertools import pairwise
from plone import api
from plone.app.testing import TEST_USER_ID
from told import fail
from told import failed
from told import succeeded
from told import told
from told import user_of

import pytest
import transaction


TELL = {"on_success": succeeded, "on_failure": failed}


@pytest.fixture(autouse=True)
def nothing_was_told():
    told.clear()


def all_ended(scheduler, whole=None):
    """Commit, and wait for all; return the record of a group."""
    transaction.commit()
    scheduler.resume("default")
    if whole is not None:
        scheduler.wait(whole.id, TIMEOUT)
    scheduler.wait_all(TIMEOUT)
    transaction.begin()
    return whole and scheduler.record(whole.id)


def done(scheduler, change, *ids):
    """Do something to tasks or groups in the next transaction."""
    transaction.begin()
    for id in ids:
        change(id)
    transaction.begin()


class TestOwner:
    """Who has opened the group."""

    @pytest.fixture
    def whole(self, site, paused):
        """A group with a task of another user, which is the first one."""
        add_users(site, {"another": []})
        with group(title="All", on_failure=user_of) as whole:
            self.others = using(user="another", title="A secret").schedule(fail)
            self.own = using(title="My own").schedule(len, "x")
        transaction.commit()
        return whole

    def test_has_it_whoever_is_the_user_of_the_first_task(self, paused, whole):
        record = all_ended(paused, whole)
        assert (record.user_id, record.title) == (TEST_USER_ID, "All")
        assert told == [("user", "All", TEST_USER_ID)]

    def test_stays_when_tasks_are_forgotten(self, paused, whole):
        all_ended(paused, whole)
        done(paused, paused.remove, self.own)
        assert paused.record(whole.id).user_id == TEST_USER_ID

    def test_learns_nothing_of_the_errors_of_others(self, paused, whole):
        record = all_ended(paused, whole)
        assert record.error.message == "1 of 2 failed"
        assert record.error.traceback == ""

    def test_nor_of_their_titles(self, site, paused):
        add_users(site, {"another": []})
        with group() as whole:
            using(user="another", title="A secret").schedule(len, "x")
        transaction.commit()
        assert paused.record(whole.id).title == "collective.background.group"

    def test_can_be_chosen(self, site, scheduler):
        add_users(site, {"another": []})
        with group(title="All", on_success=user_of, user="another") as whole:
            schedule(len, "x")
        record = all_ended(scheduler, whole)
        assert record.user_id == "another"
        assert told == [("user", "All", "another")]
        with pytest.raises(BadOption, match="nobody"), group(user="nobody"):
            pass


class TestEmpty:
    def test_has_succeeded_at_the_commit(self, scheduler):
        with group(title="None", **TELL) as whole:
            pass
        assert scheduler.record(whole.id).state == "queued"
        record = all_ended(scheduler, whole)
        assert (record.state, record.progress.total) == ("succeeded", 0)
        assert record.finished is not None
        assert told == [("success", "None", "succeeded")]
        assert scheduler.completed(whole.id)

    def test_is_forgotten_by_an_abort(self, scheduler):
        with group(**TELL) as whole:
            pass
        transaction.abort()
        all_ended(scheduler)
        assert scheduler.record(whole.id) is None
        assert told == []

    def test_and_by_a_savepoint(self, scheduler):
        savepoint = transaction.savepoint()
        with group(**TELL) as whole:
            schedule(fail)
        savepoint.rollback()
        all_ended(scheduler)
        assert scheduler.record(whole.id) is None
        assert told == []

    def test_can_be_dismissed_and_removed(self, scheduler):
        with group() as whole:
            pass
        all_ended(scheduler, whole)
        assert scheduler.dismiss(whole.id).dismissed
        done(scheduler, scheduler.remove, whole.id)
        assert scheduler.record(whole.id) is None

    def test_with_duplicates_only(self, paused):
        using(unique="a").schedule(len, "x")
        with group(title="None", **TELL) as whole:
            using(unique="a").schedule(len, "x")
        record = all_ended(paused, whole)
        assert (record.state, record.progress.total) == ("succeeded", 0)

    def test_title_is_a_text(self, scheduler):
        with pytest.raises(BadOption, match="text"), group(title=lambda: "x"):
            pass


class TestInner:
    """A group that is opened in another one is a member of that."""

    def nested(self, function):
        with group(title="Outer", **TELL) as outer:
            schedule(len, "x")
            with group(title="Inner", **TELL) as inner:
                schedule(function, "y")
            schedule(len, "z")
        return outer, inner

    def test_counts_as_one(self, paused):
        outer, inner = self.nested(len)
        transaction.commit()
        assert paused.record(inner.id).group_id == outer.id
        record = all_ended(paused, outer)
        assert (record.state, record.progress.done) == ("succeeded", 3)
        assert sorted(told) == [
            ("success", "Inner", "succeeded"),
            ("success", "Outer", "succeeded"),
        ]

    def test_fails_the_outer_one(self, scheduler):
        outer, _ = self.nested(fail)
        record = all_ended(scheduler, outer)
        assert record.state == "failed"
        assert record.error.message == (
            "1 of 3 failed; the first one, 'Inner': 1 of 1 failed; the first one, "
            "'told.fail': y"
        )

    def test_which_is_tried_again_with_it(self, paused):
        outer, inner = self.nested(fail)
        all_ended(paused, outer)
        done(paused, paused.pause, "default")
        (member,) = paused.records(group_id=inner.id)
        paused.retry(member.id)
        transaction.begin()
        for each in (outer, inner):
            assert paused.record(each.id).finished is None
        all_ended(paused, outer)
        assert paused.record(outer.id).state == "failed"
        assert told.count(("failure", "Outer", "failed")) == 2

    def test_what_is_done_to_the_outer_one_is_done_to_all(self, paused):
        outer, inner = self.nested(len)
        transaction.commit()
        assert paused.cancel(outer.id).state == "cancelled"
        transaction.begin()
        assert paused.record(inner.id).state == "cancelled"
        assert paused.retry(outer.id).state == "queued"
        assert all_ended(paused, outer).state == "succeeded"
        assert paused.dismiss(outer.id).dismissed
        transaction.begin()
        assert paused.record(inner.id).dismissed
        done(paused, paused.remove, outer.id)
        assert paused.record(outer.id) is None
        assert paused.record(inner.id) is None

    def test_is_forgotten_with_its_last_task_and_the_outer_one_with_it(self, paused):
        with group() as outer, group() as inner:
            task_id = schedule(len, "x")
        all_ended(paused, outer)
        done(paused, paused.remove, task_id)
        assert paused.record(inner.id) is None
        assert paused.record(outer.id) is None

    def test_only_empty_ones(self, scheduler):
        with group(title="Outer", **TELL) as outer, group(title="Inner", **TELL):
            pass
        record = all_ended(scheduler, outer)
        assert (record.state, record.progress.total) == ("succeeded", 1)
        assert len(told) == 2


class TestTelling:
    def test_what_a_failed_predecessor_cancels(self, scheduler):
        first = schedule(fail)
        second = using(after=first, title="Second", **TELL).schedule(len, "x")
        using(after=second, title="Third", **TELL).schedule(len, "x")
        all_ended(scheduler)
        assert sorted(told) == [
            ("failure", "Second", "cancelled"),
            ("failure", "Third", "cancelled"),
        ]
        record = scheduler.record(second)
        assert record.error.type.endswith("PredecessorFailed")

    def test_not_what_a_person_has_cancelled(self, paused):
        """Nor what was to come after that."""
        first = using(**TELL).schedule(len, "x")
        second = using(after=first, **TELL).schedule(len, "x")
        transaction.commit()
        paused.cancel(first)
        all_ended(paused)
        assert paused.record(second).state == "cancelled"
        assert told == []

    def test_of_a_group_of_which_some_were_cancelled(self, paused):
        with group(title="All", **TELL) as whole:
            task_id = schedule(len, "x")
            schedule(len, "y")
        transaction.commit()
        paused.cancel(task_id)
        record = all_ended(paused, whole)
        assert record.state == "cancelled"
        assert told == [("failure", "All", "cancelled")]

    def test_of_a_group_of_which_all_were(self, paused):
        with group(title="All", **TELL) as whole:
            first = schedule(len, "x")
            using(after=first).schedule(len, "y")
        transaction.commit()
        paused.cancel(first)
        assert all_ended(paused, whole).state == "cancelled"
        assert told == []

    def test_who_removes_a_group_hears_nothing(self, paused):
        with group(**TELL) as whole:
            schedule(len, "x")
            task_id = schedule(len, "y")
        transaction.commit()
        paused.cancel(task_id)
        done(paused, paused.remove, whole.id)
        all_ended(paused)
        assert paused.record(whole.id) is None
        assert told == []


class TestErrors:
    def test_is_that_of_the_first_with_the_state_of_the_whole(self, paused):
        with group(title="All") as whole:
            cancelled = using(title="Cancelled").schedule(len, "x")
            schedule(len, "y")
            schedule(fail, "the reason")
        transaction.commit()
        paused.cancel(cancelled)
        record = all_ended(paused, whole)
        assert record.error.message == (
            "1 of 3 failed; the first one, 'told.fail': the reason"
        )
        assert "ValueError: the reason" in record.error.traceback

    def test_is_that_of_another_one_when_the_first_is_tried_again(self, paused):
        with group() as whole:
            ids = [
                using(title=title).schedule(fail, title.lower())
                for title in ("One", "Two", "Three")
            ]
        transaction.commit()
        all_ended(paused, whole)
        done(paused, paused.pause, "default")
        message = paused.record(whole.id).error.message
        first = next(id for id in ids if repr(paused.record(id).title) in message)
        paused.retry(first)
        transaction.begin()
        assert paused.record(whole.id).error is None
        done(paused, paused.remove, first)
        record = all_ended(paused, whole)
        assert record.error.message.startswith("2 of 3 failed; the first one, '")


class TestForgetting:
    def test_of_a_failed_member_leaves_a_failed_group(self, paused):
        with group(title="All", **TELL) as whole:
            bad = schedule(fail)
            schedule(len, "x")
        transaction.commit()
        all_ended(paused, whole)
        done(paused, paused.remove, bad)
        record = paused.record(whole.id)
        assert record.state == "failed"
        assert (record.progress.done, record.progress.total) == (2, 2)
        assert "it went wrong" in record.error.message
        assert told == [("failure", "All", "failed")]

    def test_before_the_others_have_ended(self, paused):
        with group(title="All", **TELL) as whole:
            good, bad = schedule(len, "x"), schedule(len, "y")
        transaction.commit()
        done(paused, paused.remove, bad)
        record = all_ended(paused, whole)
        assert record.state == "cancelled"
        assert told == [("failure", "All", "cancelled")]
        done(paused, paused.remove, good)
        assert paused.record(whole.id) is None


class TestAfter:
    def test_a_group(self, paused):
        with group() as whole:
            ids = [schedule(len, "x") for _ in range(3)]
        last = using(after=whole.id).schedule(len, "x")
        all_ended(paused)
        records = [paused.record(id) for id in ids]
        assert paused.record(last).started >= max(each.finished for each in records)

    def test_one_that_has_ended(self, scheduler):
        with group() as whole:
            schedule(len, "x")
        all_ended(scheduler, whole)
        task_id = using(after=whole.id).schedule(len, "x")
        all_ended(scheduler)
        assert scheduler.record(task_id).state == "succeeded"

    def test_an_empty_one(self, scheduler):
        with group() as whole:
            pass
        task_id = using(after=whole.id).schedule(len, "x")
        all_ended(scheduler)
        assert scheduler.record(task_id).state == "succeeded"

    def test_one_that_fails(self, scheduler):
        with group(title="All") as whole:
            schedule(fail)
        task_id = using(after=whole.id, title="Last", **TELL).schedule(len, "x")
        all_ended(scheduler)
        record = scheduler.record(task_id)
        assert record.state == "cancelled"
        assert whole.id in record.error.message
        assert told == [("failure", "Last", "cancelled")]

    def test_that_which_it_belongs_to(self, scheduler):
        with group() as outer, group() as whole:
            for id in (whole.id, outer.id):
                with pytest.raises(BadOption, match="wait for itself"):
                    using(after=id).schedule(len, "x")

    def test_what_is_not_known(self, scheduler):
        with pytest.raises(BadOption, match="no such task or group"):
            using(after="0" * 32).schedule(len, "x")


class TestRetry:
    def test_keeps_the_order(self, paused):
        """Of all that has not begun."""
        with group() as whole:
            first = schedule(fail)
            second = using(after=first).schedule(len, "x")
            third = using(after=second).schedule(len, "x")
        all_ended(paused, whole)
        done(paused, paused.pause, "default")
        for _ in range(2):
            paused.retry(whole.id)
            all_ended(paused, whole)
            done(paused, paused.pause, "default")
        assert paused.record(first).attempts == 3
        for id in (second, third):
            record = paused.record(id)
            assert (record.state, record.attempts) == ("cancelled", 0)

    def test_of_what_was_to_start_after_one_that_is_forgotten(self, paused):
        """That it has succeeded is remembered, also if the other one had ended then."""
        first = schedule(len, "x")
        second = using(after=first).schedule(len, "y")
        transaction.commit()
        paused.cancel(second)
        all_ended(paused)
        done(paused, paused.remove, first)
        done(paused, paused.retry, second)
        all_ended(paused)
        assert paused.record(second).state == "succeeded"

    def test_after_one_that_was_forgotten_without_success(self, scheduler):
        first = schedule(fail)
        second = using(after=first).schedule(len, "y")
        all_ended(scheduler)
        done(scheduler, scheduler.remove, first)
        done(scheduler, scheduler.retry, second)
        all_ended(scheduler)
        record = scheduler.record(second)
        assert record.state == "cancelled"
        assert "not known" in record.error.message


class TestOrdered:
    def in_order(self, scheduler, *ids):
        records = [scheduler.record(id) for id in ids]
        return all(a.finished <= b.started for a, b in pairwise(records))

    def test_one_after_the_other(self, paused):
        with group(ordered=True) as whole:
            ids = [using(priority=n).schedule(len, "x") for n in range(5)]
        assert all_ended(paused, whole).state == "succeeded"
        assert self.in_order(paused, *ids)

    def test_none_after_one_that_has_failed(self, scheduler):
        with group(title="All", ordered=True, **TELL) as whole:
            ids = [schedule(len, "x"), schedule(fail), schedule(len, "x")]
        assert all_ended(scheduler, whole).state == "failed"
        states = [scheduler.record(id).state for id in ids]
        assert states == ["succeeded", "failed", "cancelled"]
        assert told == [("failure", "All", "failed")]

    def test_with_groups_in_it(self, paused):
        with group(ordered=True) as whole:
            first = using(priority=-2).schedule(len, "x")
            with group() as several:
                using(priority=1).schedule(len, "x")
                using(priority=1).schedule(len, "x")
            with group():
                pass
            last = using(priority=2).schedule(len, "x")
        assert all_ended(paused, whole).state == "succeeded"
        assert self.in_order(paused, first, several.id, last)

    def test_what_a_savepoint_has_forgotten_is_left_out(self, paused):
        with group(ordered=True) as whole:
            first = schedule(len, "x")
            savepoint = transaction.savepoint()
            schedule(fail)
            savepoint.rollback()
            last = schedule(len, "x")
        assert all_ended(paused, whole).state == "succeeded"
        assert self.in_order(paused, first, last)


def test_the_user_is_told_who_has_the_group(site, scheduler):
    """Not who happened to schedule the last one."""
    add_users(site, {"another": []})
    with group(title="All", on_success=user_of):
        using(user="another").schedule(len, "x")
    all_ended(scheduler)
    assert told == [("user", "All", api.user.get_current().getId())]


class TestResults:
    def test_are_those_of_the_members_in_their_order(self, paused):
        with group() as whole:
            using(priority=-1).schedule(len, "x")
            with group():
                schedule(len, "xx")
                schedule(len, "xxx")
            schedule(len, "xxxx")
        transaction.commit()
        assert paused.peek_result(whole.id) is None
        assert paused.get_result(whole.id) is False
        all_ended(paused, whole)
        for _ in range(2):
            assert paused.peek_result(whole.id) == (1, (2, 3), 4)
            assert paused.get_result(whole.id) == ((1, (2, 3), 4), None)
            assert paused.record(whole.id) is not None
        transaction.commit()
        assert paused.record(whole.id) is None

    def test_of_one_that_has_failed(self, scheduler):
        with group() as whole:
            schedule(len, "x")
            schedule(fail, "the reason")
        all_ended(scheduler, whole)
        results, error = scheduler.get_result(whole.id)
        assert results == (1, None)
        assert (type(error), str(error)) == (ValueError, "the reason")

    def test_of_an_empty_one(self, scheduler):
        with group() as whole:
            pass
        all_ended(scheduler, whole)
        assert scheduler.get_result(whole.id) == ((), None)
        transaction.commit()
        assert scheduler.record(whole.id) is None


class TestInTheSameTransaction:
    """What one does is seen at once, though it is not done in that transaction."""

    def test_cancel(self, paused):
        with group() as whole:
            first = schedule(len, "x")
            second = using(after=first).schedule(len, "x")
        transaction.commit()
        assert paused.record(second).state == "queued"
        assert paused.cancel(first).state == "cancelled"
        for id in (first, second, whole.id):
            assert paused.record(id).state == "cancelled"
            assert paused.completed(id)

    def test_retry_and_remove(self, paused):
        task_id = schedule(len, "x")
        transaction.commit()
        paused.cancel(task_id)
        paused.retry(task_id)
        assert paused.record(task_id).state == "queued"
        paused.remove(task_id)
        assert paused.record(task_id) is None

    def test_and_what_it_has_scheduled_itself(self, paused):
        before = schedule(len, "x")
        transaction.commit()
        paused.cancel(before)
        task_id = schedule(len, "y")
        assert paused.record(task_id).state == "queued"
        assert paused.record(before).state == "cancelled"
