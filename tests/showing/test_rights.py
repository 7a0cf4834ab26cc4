"""What is inside of a task is not for who has fewer rights than its user."""

from AccessControl import Unauthorized
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.controlpanel.actions import perform
from collective.background.showing import visibility
from helpers import add_users
from helpers import finished
from plone import api
from plone.app.testing import login
from plone.app.testing import logout
from plone.app.testing import SITE_OWNER_NAME

import logging
import pytest
import transaction


USERS = {
    "ann": ["Contributor", "Editor", "Reviewer"],
    "boss": ["Site Administrator"],
    "chief": ["Manager"],
}


def work(secret):
    logging.getLogger("an.add-on").warning("what a task logs")
    return secret


def fail(secret):
    raise ValueError("it went wrong")


@pytest.fixture
def portal(site):
    add_users(site, USERS)
    return site


@pytest.fixture
def task_of(portal, tier):
    """Return a function: a user runs a task; the value is its id."""

    def task_of(user_id, function=work, folder=portal):
        login(folder, user_id)
        return finished(schedule(function, "secret")).id

    return task_of


def assert_closed(task_id):
    """The current user sees that there is a task, and nothing that is in it."""
    record = visibility.visible_record(task_id)
    assert not visibility.is_trusted(record)
    (listed,) = visibility.visible_records(everybody=True)
    for shown in (record, listed, visibility.find_visible([task_id])[task_id]):
        assert (shown.log, shown.has_result) == ((), False)
        assert shown.error is None or shown.error.traceback == ""
    for refused in (
        visibility.task_result,
        visibility.task_arguments,
        visibility.retry_task,
    ):
        with pytest.raises(Unauthorized, match="has more rights than you"):
            refused(task_id)


def assert_open(task_id):
    assert visibility.is_trusted(visibility.visible_record(task_id))
    assert visibility.visible_record(task_id).log
    assert visibility.task_result(task_id) == "secret"
    assert [name for name, _ in visibility.task_arguments(task_id)] == ["secret"]


class TestSiteAdministrators:
    def test_see_inside_of_tasks_of_editors(self, portal, task_of):
        task_id = task_of("ann")
        login(portal, "boss")
        assert_open(task_id)

    def test_do_not_see_inside_of_those_of_managers(self, portal, task_of):
        task_id = task_of("chief")
        login(portal, "boss")
        assert_closed(task_id)

    def test_do_not_see_inside_of_those_of_zope_managers(self, portal, task_of):
        task_id = task_of(SITE_OWNER_NAME, folder=portal.aq_parent)
        login(portal, "boss")
        assert_closed(task_id)

    def test_do_not_run_them_again(self, portal, task_of):
        task_id = task_of("chief", fail)
        login(portal, "boss")
        assert_closed(task_id)
        report = perform("retry", [task_id])
        assert report.outcomes == {"refused": 1}
        transaction.begin()
        assert get_scheduler().record(task_id).state == "failed"

    def test_but_may_cancel_and_delete_them(self, portal, task_of):
        task_id = task_of("chief")
        login(portal, "boss")
        assert perform("delete", [task_id]).outcomes == {"done": 1}
        transaction.begin()
        assert get_scheduler().record(task_id) is None

    def test_see_inside_of_tasks_of_visitors(self, portal, tier):
        logout()
        task_id = finished(schedule(work, "secret")).id
        login(portal, "boss")
        assert_open(task_id)

    def test_do_not_see_inside_of_those_as_which_zope_itself_runs(self, portal, tier):
        task_id = finished(using(user="System Processes").schedule(work, "x")).id
        login(portal, "boss")
        assert_closed(task_id)

    def test_a_task_is_that_of_whom_it_runs_as(self, portal, tier):
        """Whoever has scheduled it."""
        login(portal, "boss")
        task_id = finished(using(user="chief").schedule(work, "secret")).id
        assert_closed(task_id)

    def test_do_not_see_inside_of_those_of_whom_nobody_knows(self, portal, task_of):
        task_id = task_of("chief")
        portal.acl_users.source_users.removeUser("chief")
        transaction.commit()
        login(portal, "boss")
        assert_closed(task_id)

    def test_a_role_of_an_add_on_counts(self, portal, task_of):
        """It may have a permission that nobody else has."""
        task_id = task_of("ann")
        portal._addRole("Accountant")
        portal.manage_permission("View management screens", ["Accountant"])
        api.user.grant_roles("ann", roles=["Accountant"])
        transaction.commit()
        login(portal, "boss")
        assert_closed(task_id)

    @pytest.mark.parametrize("function", [work, fail])
    def test_of_a_group_all_users_count(self, portal, tier, function):
        login(portal, "boss")
        with group() as both:
            schedule(function, "secret")
            using(user="chief").schedule(function, "secret")
        finished(both.id)
        record = visibility.visible_record(both.id)
        assert not visibility.is_trusted(record)
        assert not record.has_result
        assert record.error is None or record.error.traceback == ""
        for refused in (visibility.task_result, visibility.retry_task):
            with pytest.raises(Unauthorized):
                refused(both.id)


class TestManagers:
    @pytest.mark.parametrize("user_id", ["ann", "boss", "chief"])
    def test_see_inside_of_all_tasks(self, portal, task_of, user_id):
        task_id = task_of(user_id)
        login(portal, "chief")
        assert_open(task_id)

    def test_of_the_site_see_inside_of_those_of_zope_managers(self, portal, task_of):
        task_id = task_of(SITE_OWNER_NAME, folder=portal.aq_parent)
        login(portal, "chief")
        assert_open(task_id)


def test_everybody_has_the_results_of_his_own(portal, task_of):
    task_id = task_of("ann")
    assert visibility.task_result(task_id) == "secret"
    assert visibility.visible_record(task_id).has_result
