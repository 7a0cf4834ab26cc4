"""A site is switched to tasks in the database, and back; it is copied, and renamed."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database.installing import install
from collective.background.database.installing import uninstall
from collective.background.database.sites import local_scheduler
from collective.background.exceptions import TasksUnfinished
from collective.background.executing.executor import process_executor
from collective.background.showing.visibility import visible_record
from collective.background.showing.visibility import visible_records
from collective.background.testing import serving
from gated_tasks import create
from helpers import finished
from helpers import TIMEOUT
from plone.app.testing import applyProfile
from plone.app.testing import login
from plone.app.testing import SITE_OWNER_NAME
from zope.component.hooks import setSite

import pytest
import transaction


class TestSwitching:
    def test_the_profile(self, site):
        before = get_scheduler()
        applyProfile(site, "collective.background:persistent")
        installed = get_scheduler()
        assert installed is local_scheduler(site) is not before
        applyProfile(site, "collective.background:persistent")
        assert get_scheduler() is installed
        applyProfile(site, "collective.background:persistent-uninstall")
        assert get_scheduler() is before

    def test_a_task_that_is_scheduled_in_the_same_transaction(self, site, folder):
        install(site)
        task_id = schedule(create, folder, "new")
        transaction.commit()
        with serving():
            assert finished(task_id).state == "succeeded"

    def test_what_waits_in_memory_runs_there(self, site, folder):
        memory = get_scheduler()
        memory.pause("default")
        task_id = schedule(create, folder, "new")
        transaction.commit()
        install(site)
        transaction.commit()
        memory.resume("default")
        assert memory.wait(task_id, TIMEOUT).state == "succeeded"

    @pytest.mark.parametrize("profile", ["persistent-uninstall", "uninstall"])
    def test_not_back_while_tasks_are_unfinished(self, idle_site, profile):
        schedule(len, "x")
        transaction.commit()
        scheduler = get_scheduler()
        with pytest.raises(TasksUnfinished, match="1 tasks"):
            applyProfile(idle_site, f"collective.background:{profile}")
        assert get_scheduler() is scheduler
        uninstall(idle_site, force=True)
        transaction.commit()
        assert get_scheduler().executor is process_executor()


class TestCopies:
    @pytest.fixture
    def app(self, idle_site):
        app = idle_site.aq_parent
        login(app, SITE_OWNER_NAME)
        yield app
        transaction.abort()
        setSite(idle_site)

    @pytest.fixture
    def copied(self, app, waiting):
        """Make a copy of the site, with its tasks; it is the current site then."""
        app.manage_pasteObjects(app.manage_copyObjects(["plone"]))
        transaction.commit()
        setSite(app["copy_of_plone"])
        return get_scheduler()

    @pytest.fixture
    def waiting(self, idle_site, folder):
        task_id = schedule(create, folder, "new")
        transaction.commit()
        return task_id

    def test_a_copy_does_not_run_the_tasks_of_the_original(
        self, copied, idle_site, waiting
    ):
        original = local_scheduler(idle_site)
        assert copied._p_oid != original._p_oid
        with serving():
            record = copied.wait(waiting, TIMEOUT)
            assert record.state == "cancelled"
            assert "copied" in record.error.message
            assert original.wait(waiting, TIMEOUT).state == "succeeded"
        transaction.begin()
        assert "new" in idle_site["folder"]
        assert "new" not in idle_site.aq_parent["copy_of_plone"]["folder"]

    def test_a_copy_runs_its_own(self, app, copied):
        folder = app["copy_of_plone"]["folder"]
        with serving():
            assert finished(schedule(create, folder, "other")).state == "succeeded"
        assert "other" in folder
        assert "other" not in app["plone"]["folder"]

    def test_a_renamed_site_does_not_run_them_either(self, app, waiting):
        app.manage_renameObject("plone", "renamed")
        transaction.commit()
        setSite(app["renamed"])
        with serving():
            record = get_scheduler().wait(waiting, TIMEOUT)
        assert record.state == "failed"
        assert record.error.type.endswith("SiteGone")
        app.manage_renameObject("renamed", "plone")
        transaction.commit()
        setSite(app["plone"])

    def test_what_is_listed_in_a_renamed_site_can_be_opened(self, app, waiting):
        app.manage_renameObject("plone", "renamed")
        transaction.commit()
        setSite(app["renamed"])
        listed = [record.id for record in visible_records()]
        assert listed == [waiting]
        assert visible_record(waiting).title == "gated_tasks.create"

    def test_and_in_a_copied_one(self, copied, waiting):
        assert [record.id for record in visible_records()] == [waiting]
        assert visible_record(waiting).site_path == "/copy_of_plone"
