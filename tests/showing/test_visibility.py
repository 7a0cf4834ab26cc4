"""A user has his own tasks, a manager those of the site; the rest is not there."""

from AccessControl.users import UnrestrictedUser
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import TaskNotFound
from collective.background.showing.visibility import count_visible
from collective.background.showing.visibility import visible_record
from collective.background.showing.visibility import visible_records
from dataclasses import replace
from helpers import add_users
from helpers import finished
from helpers import TIMEOUT
from plone import api
from plone.app.testing import login
from plone.app.testing import logout
from plone.app.testing import SITE_OWNER_NAME
from Products.CMFPlone.factory import addPloneSite
from zope.component.hooks import setSite
from zope.i18n import translate

import logging
import pytest
import transaction


USERS = {
    "editor1": ["Contributor"],
    "editor2": [],
    "boss": ["Site Administrator"],
}


@pytest.fixture
def portal(site):
    """A site with the users above."""
    add_users(site, USERS)
    return site


def fail():
    logging.getLogger("an.add-on").warning("what a task logs")
    raise ValueError("it went wrong")


@pytest.fixture
def task_of(portal):
    """Return a function that lets a user run a task that fails; with its id."""

    def task_of(user_id, folder=portal, title=None):
        login(folder, user_id)
        return finished(using(title=title).schedule(fail)).id

    return task_of


def visible(**arguments):
    """Return the ids of what the current user sees; all functions must agree."""
    ids = [record.id for record in visible_records(**arguments)]
    assert count_visible(**arguments) == len(ids)
    for task_id in ids:
        assert visible_record(task_id).id == task_id
    return ids


def assert_hidden(*ids):
    for task_id in ids:
        with pytest.raises(TaskNotFound, match=task_id):
            visible_record(task_id)
        assert task_id not in visible()
        assert task_id not in visible(everybody=True)


class TestOwnTasks:
    def test_are_visible_newest_first(self, portal, task_of):
        first, _, second = [
            task_of(user_id) for user_id in ("editor1", "editor2", "editor1")
        ]
        login(portal, "editor1")
        assert visible() == [second, first]

    def test_anothers_are_not_there(self, portal, task_of):
        task_id = task_of("editor1")
        login(portal, "editor2")
        assert_hidden(task_id)

    def test_an_unknown_one_is_refused_with_the_same_words(self, portal, task_of):
        task_id = task_of("editor1")
        login(portal, "editor2")
        texts = []
        for id in (task_id, "0" * 32):
            with pytest.raises(TaskNotFound) as info:
                visible_record(id)
            texts.append(str(info.value).replace(id, "…"))
        assert texts[0] == texts[1]

    def test_filters_and_pages(self, portal, task_of):
        ids = [task_of("editor1") for _ in range(3)]
        done = finished(schedule(int)).id
        task_of("editor2")
        login(portal, "editor1")
        assert visible(states="failed") == ids[::-1]
        assert [r.id for r in visible_records(start=1, limit=2)] == ids[:0:-1]
        assert visible(states=["succeeded"]) == [done]

    def test_a_filter_cannot_widen_what_is_visible(self, portal, task_of):
        task_of("editor1")
        login(portal, "editor2")
        assert visible_records(user_id="editor1", site_path=None) == []
        assert count_visible(user_id="editor1", site_path=None) == 0

    def test_need_the_permission(self, portal, task_of):
        task_id = task_of("editor1")
        portal.manage_permission("View own background tasks", ["Manager"])
        login(portal, "editor1")
        assert_hidden(task_id)

    def test_anonymous_visitors_have_none(self, portal):
        logout()
        task_id = finished(schedule(fail)).id
        assert get_scheduler().record(task_id).user_id is None
        assert_hidden(task_id)
        assert visible() == visible(everybody=True) == []

    def test_a_temporary_user_has_none(self, portal, task_of):
        """One that code has made on the spot, and no user folder knows."""
        task_of("editor1")
        user = UnrestrictedUser("nobody's", "", ["Authenticated"], [])
        with api.env.adopt_user(user=user.__of__(portal.acl_users)):
            assert visible() == []


class TestManagers:
    @pytest.fixture
    def ids(self, portal, task_of):
        """The ids of tasks of two editors."""
        ids = [task_of("editor1"), task_of("editor2")]
        login(portal, "boss")
        return ids

    def test_see_all_tasks_of_the_site(self, ids):
        assert visible(everybody=True) == ids[::-1]

    def test_see_their_own_where_they_do_not_ask_for_more(self, ids, task_of):
        own = task_of("boss")
        assert visible() == [own]

    def test_see_those_of_anonymous_visitors(self, portal):
        logout()
        task_id = finished(schedule(fail)).id
        login(portal, "boss")
        assert visible(everybody=True) == [task_id]

    def test_from_the_zope_root_too(self, portal, ids):
        login(portal.aq_parent, SITE_OWNER_NAME)
        assert visible(everybody=True) == ids[::-1]

    def test_asking_for_all_gives_an_editor_his_own(self, portal, ids):
        login(portal, "editor1")
        assert visible(everybody=True) == ids[:1]

    def test_do_not_see_those_of_another_site(self, portal, ids):
        app = portal.aq_parent
        login(app, SITE_OWNER_NAME)
        other = addPloneSite(app, "other")
        setSite(other)
        task_id = finished(schedule(fail)).id
        assert get_scheduler().record(task_id).site_path == "/other"
        assert visible_record(task_id).id == task_id
        assert_hidden(*ids)
        setSite(portal)
        login(portal, "boss")
        assert_hidden(task_id)
        assert visible(everybody=True) == ids[::-1]


class TestSameId:
    """A user of the site and one of the Zope root may have the same id."""

    @pytest.fixture
    def root(self, portal):
        app = portal.aq_parent
        portal.manage_permission("View own background tasks", ["Anonymous"])
        add_users(app, {"editor1": []})
        return app

    def test_each_sees_his_own(self, portal, root, task_of):
        of_site = task_of("editor1")
        of_root = task_of("editor1", folder=root)
        assert get_scheduler().record(of_site).user_path == "/plone/acl_users"
        assert get_scheduler().record(of_root).user_path == "/acl_users"
        assert visible() == [of_root]
        assert_hidden(of_site)
        login(portal, "editor1")
        assert visible() == [of_site]
        assert_hidden(of_root)


class TestSecrets:
    @pytest.fixture
    def task_id(self, task_of):
        return task_of("editor1")

    def test_the_owner_does_not_see_which_process_it_is(self, portal, task_id):
        """Its name tells that of the machine."""
        assert [visible_record(task_id).instance] == [""]
        assert {record.instance for record in visible_records()} == {""}
        login(portal, "boss")
        assert visible_record(task_id).instance == get_scheduler().instance

    def test_the_owner_sees_that_there_was_an_error_but_not_which(self, task_id):
        for record in (visible_record(task_id), *visible_records()):
            error = record.error
            assert translate(error.message) == f"An error has happened ({error.id})."
            assert (error.type, error.traceback) == ("", "")
            assert record.log == ()

    def test_managers_see_both(self, portal, task_id):
        login(portal, "boss")
        for record in (visible_record(task_id), *visible_records(everybody=True)):
            assert "Traceback" in record.error.traceback
            assert record.log[0] == "WARNING an.add-on what a task logs"

    def test_a_task_without_an_error_is_shown_as_it_is(self, portal):
        login(portal, "editor1")
        record = finished(schedule(api.portal.get_current_language))
        assert visible_record(record.id) == replace(record, instance="")


def test_inside_of_a_task_the_same_is_visible(portal, task_of):
    """A task runs as its user."""
    task_of("editor2")
    own = task_of("editor1")
    seen = []
    task_id = schedule(lambda: seen.extend(visible()))
    transaction.commit()
    get_scheduler().wait(task_id, TIMEOUT)
    assert set(seen) == {own, task_id}
