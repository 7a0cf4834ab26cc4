"""The control panel says where tasks are kept, and switches to the other way."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database.sites import local_scheduler
from collective.background.testing import serving
from helpers import finished
from helpers import waiting
from plone.base.utils import get_installer

import pytest
import transaction


SETTINGS = "@@background-tasks-settings"
PAGE = "@@background-tasks-storage"


@pytest.fixture
def in_database(portal):
    """The site, with its tasks in the database."""
    get_installer(portal).install_product("collective.background.persistent")
    transaction.commit()
    with serving():
        yield portal
        transaction.abort()


def is_in_database(portal):
    transaction.begin()
    product = "collective.background.persistent"
    is_installed = get_installer(portal).is_product_installed(product)
    assert is_installed == (local_scheduler(portal) is not None)
    return is_installed


class TestInMemory:
    def test_the_settings_say_so(self, boss, portal):
        [text] = boss.look(SETTINGS).texts("#background-tasks-where")
        assert text.startswith("Tasks are kept in memory. A restart loses what waits")
        boss.browser.getLink("Keep them in the database").click()
        assert boss.browser.url.endswith(PAGE)

    def test_the_question_says_what_becomes_of_tasks(self, boss, portal):
        with waiting():
            schedule(int)
            text = " ".join(boss.look(PAGE).texts("li"))
            assert "in the instance that answers: 1 ." in text

    def test_one_button_switches(self, boss, portal):
        with waiting():
            memory = get_scheduler()
            task_id = schedule(int)
            boss.look(PAGE).press("place", "database")
            assert "kept in the database from now on" in boss.contents
            assert boss.browser.url.endswith(SETTINGS)
            assert is_in_database(portal)
            assert memory.record(task_id).state == "queued"
            memory.resume("default")
            assert memory.wait(task_id, 60).state == "succeeded"
            assert boss.texts("#background-tasks-where strong") == [
                "Tasks are kept in the database."
            ]
            transaction.begin()


class TestInDatabase:
    def test_one_button_switches_back(self, boss, in_database):
        finished(schedule(int))
        boss.look(PAGE)
        assert "with their results: 1 ." in " ".join(boss.texts("li"))
        boss.press("place", "memory")
        assert "kept in memory from now on" in boss.contents
        assert not is_in_database(in_database)

    def test_not_while_tasks_are_unfinished(self, boss, in_database):
        with waiting():
            task_id = schedule(int)
            boss.look(PAGE)
            assert boss.find("button[name=place]") is None
            assert "Wait for them, or cancel them" in boss.contents
            self.send(boss)
            assert "some tasks have not ended yet (1)" in boss.contents
            assert is_in_database(in_database)
        get_scheduler().wait(task_id, 60)

    def send(self, boss):
        """Send the form as if the task had come after it was shown."""
        token = boss.find("input[name=_authenticator]")["value"]
        boss.post(PAGE, f"place=memory&_authenticator={token}")


class TestRefused:
    def test_what_is_so_already(self, boss, portal):
        token = boss.look(PAGE).find("input[name=_authenticator]")["value"]
        assert boss.post(PAGE, f"place=memory&_authenticator={token}").status == 400

    def test_without_a_token(self, boss, portal):
        boss.post(PAGE, "place=database")
        assert not is_in_database(portal)

    def test_to_who_may_install_no_add_ons(self, steward, portal):
        portal.manage_permission("Manage portal", ["Manager"], acquire=0)
        steward.look(SETTINGS)
        assert "Tasks are kept in memory." in steward.contents
        assert PAGE not in steward.contents
        token = steward.look(PAGE).find("input[name=_authenticator]")["value"]
        assert steward.find("button[name=place]") is None
        steward.post(PAGE, f"place=database&_authenticator={token}")
        assert steward.was_refused or steward.status in (401, 403)
        assert not is_in_database(portal)
