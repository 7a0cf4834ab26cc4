"""What is done to a group is done to those of its tasks that one may see."""

from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.browser.actions import ActionView
from collective.background.browser.wholes import wholes
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import TaskNotFound
from collective.background.showing import visibility
from helpers import add_users
from helpers import TIMEOUT
from plone.app.testing import login
from plone.app.testing import SITE_OWNER_NAME
from told import fail

import pytest
import transaction


@pytest.fixture
def groups(site, paused):
    """Of ann; one of two tasks of the outer group, and one in the inner one, is bob's.

    The value are the ids: of the outer and the inner one, of ann's tasks, and of bob's.
    """
    add_users(site, {"ann": [], "bob": []})
    login(site, "ann")
    with group(title="Outer") as outer:
        own = [schedule(fail)]
        others = [using(user="bob", title="Bob's").schedule(fail)]
        with group(title="Inner") as inner:
            own.append(schedule(fail))
            others.append(using(user="bob", title="Bob's").schedule(fail))
    transaction.commit()
    return outer.id, inner.id, own, others


def states(ids):
    transaction.begin()
    records = map(get_scheduler().record, ids)
    return [record and record.state for record in records]


def all_ended(scheduler):
    scheduler.resume("default")
    scheduler.wait_all(TIMEOUT)
    scheduler.pause("default")
    transaction.begin()


class TestOwner:
    def test_cancels_his_own(self, paused, groups):
        outer, _, own, others = groups
        assert visibility.cancel_task(outer).state == "running"
        assert states(own) == ["cancelled", "cancelled"]
        assert states(others) == ["queued", "queued"]

    def test_does_not_run_those_of_others_again(self, paused, groups):
        outer, _, own, others = groups
        all_ended(paused)
        visibility.retry_task(outer)
        assert states(own) == ["queued", "queued"]
        assert states(others) == ["failed", "failed"]
        with pytest.raises(IllegalTransition):
            visibility.retry_task(outer)

    def test_dismisses_his_own(self, paused, groups):
        outer, _, own, others = groups
        all_ended(paused)
        visibility.dismiss_task(outer)
        transaction.begin()
        assert all(paused.record(id).dismissed for id in own)
        assert not any(paused.record(id).dismissed for id in others)

    def test_forgets_his_own(self, paused, groups):
        outer, inner, own, others = groups
        all_ended(paused)
        assert visibility.forget_task(outer).id == outer
        assert states(own) == [None, None]
        assert states([outer, inner, *others]) == ["failed"] * 4

    def test_has_no_results_of_others(self, paused, groups):
        outer, *_ = groups
        all_ended(paused)
        assert visibility.task_result(outer) is None

    def test_is_told_that_there_is_none_of_his_own(self, site, paused, groups):
        """In his group there may be those of others only."""
        _, inner, own, others = groups
        paused.remove(own[1])
        transaction.begin()
        with pytest.raises(IllegalTransition, match="none of your tasks"):
            visibility.cancel_task(inner)
        told, error = ActionView(site, site.REQUEST)._act("cancel", inner)
        assert (told, error) == ("", "None of these tasks is yours.")
        all_ended(paused)
        with pytest.raises(IllegalTransition, match="none of your tasks"):
            visibility.forget_task(inner)
        assert states([inner, *others]) == ["failed"] * 3

    def test_of_all_tasks_has_all_of_it(self, site, paused):
        add_users(site, {"ann": []})
        login(site, "ann")
        with group() as whole:
            schedule(len, "x")
            schedule(fail)
        transaction.commit()
        all_ended(paused)
        assert visibility.task_result(whole.id) == (1, None)
        assert visibility.forget_task(whole.id).id == whole.id
        assert states([whole.id]) == [None]


class TestOthers:
    def test_do_not_see_the_group_in_which_their_tasks_are(self, site, groups):
        outer, _, _, others = groups
        login(site, "bob")
        with pytest.raises(TaskNotFound):
            visibility.visible_record(outer)
        assert visibility.cancel_task(others[0]).state == "cancelled"

    def test_see_their_tasks_in_the_viewlet(self, site, groups):
        *_, others = groups
        login(site, "bob")
        records = visibility.visible_records(dismissed=False)
        shown = [record.id for record in wholes(records)]
        assert sorted(shown) == sorted(others)

    def test_the_owner_sees_the_outermost_group(self, site, groups):
        outer, *_ = groups
        records = visibility.visible_records(dismissed=False)
        assert [record.id for record in wholes(records)] == [outer]


class TestManagers:
    def test_do_it_to_all(self, site, paused, groups):
        outer, _, own, others = groups
        login(site.aq_parent, SITE_OWNER_NAME)
        assert visibility.cancel_task(outer).state == "cancelled"
        assert states([*own, *others]) == ["cancelled"] * 4
        visibility.retry_task(outer)
        assert states([*own, *others]) == ["queued"] * 4
