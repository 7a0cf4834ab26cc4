"""The add-ons control panel: tasks in the database are an add-on of their own, and
nothing is uninstalled under tasks that have not ended."""

from browsing import User
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database.installing import uninstall
from collective.background.database.sites import local_scheduler
from collective.background.exceptions import TasksUnfinished
from collective.background.interfaces import ICollectiveBackgroundLayer
from collective.background.model.settings import background_settings
from helpers import add_users
from plone.app.testing import applyProfile
from plone.base.utils import get_installer
from plone.browserlayer.utils import registered_layers
from zope.globalrequest import getRequest

import pytest
import transaction


PACKAGE = "collective.background"
DATABASE = "collective.background.persistent"
ADD_ONS = "prefs_install_products_form"


@pytest.fixture
def manager(functional, portal):
    """One of the site, who may install add-ons."""
    add_users(portal, {"chief": ["Manager"]})
    return User(functional, "chief")


@pytest.fixture
def installer(portal):
    return get_installer(portal, getRequest())


@pytest.fixture
def waiting(portal):
    """The id of a task that waits in the database, where nobody runs it."""
    applyProfile(portal, f"{DATABASE}:default")
    task_id = schedule(len, "x")
    transaction.commit()
    return task_id


def is_whole(site):
    """Whether the add-on is there, with all its parts."""
    return (
        get_installer(site).is_product_installed(PACKAGE)
        and ICollectiveBackgroundLayer in registered_layers()
        and background_settings() is not None
        and PACKAGE in [action.id for action in site.portal_controlpanel.listActions()]
    )


class TestSwitching:
    def test_the_list(self, manager):
        manager.open(ADD_ONS)
        assert "Background tasks" in manager.texts("#activated-products h3")
        available = [t for t in manager.texts("section h3") if t.startswith("Backgr")]
        assert sorted(available) == [
            "Background tasks",
            "Background tasks in the database",
        ]

    def test_on_and_off_again(self, portal, installer):
        for _ in range(2):
            assert installer.install_product(DATABASE)
            assert local_scheduler(portal) is get_scheduler()
            assert installer.uninstall_product(DATABASE)
            assert local_scheduler(portal) is None
            assert is_whole(portal)

    def test_the_add_on_comes_along(self, portal, installer):
        installer.uninstall_product(PACKAGE)
        installer.install_product(DATABASE)
        assert is_whole(portal)
        installer.uninstall_product(PACKAGE)
        assert local_scheduler(portal) is None
        assert not installer.is_product_installed(DATABASE)

    @pytest.mark.parametrize(
        "off",
        [
            lambda site: applyProfile(site, f"{PACKAGE}:persistent-uninstall"),
            lambda site: uninstall(site),
        ],
    )
    def test_the_list_knows_of_other_ways(self, portal, installer, off):
        for _ in range(2):
            applyProfile(portal, f"{PACKAGE}:persistent")
            assert local_scheduler(portal) is not None
            assert installer.is_product_installed(DATABASE)
            off(portal)
            assert local_scheduler(portal) is None
            assert not installer.is_product_installed(DATABASE)


class TestUninstalling:
    @pytest.mark.parametrize("product", [PACKAGE, DATABASE])
    def test_is_refused_while_tasks_have_not_ended(
        self, manager, portal, waiting, product
    ):
        browser = manager.open(ADD_ONS).browser
        form = next(
            form
            for index in range(20)
            if (form := browser.getForm(action="uninstall_products", index=index))
            and form.getControl(name="uninstall_product").value == product
        )
        form.submit("Uninstall")
        assert "some tasks have not ended yet (1)" in manager.contents
        transaction.begin()
        assert is_whole(portal)
        assert get_scheduler().record(waiting).state == "queued"

    @pytest.mark.parametrize("product", [PACKAGE, DATABASE])
    def test_is_possible_when_they_have(self, portal, waiting, installer, product):
        get_scheduler().cancel(waiting)
        transaction.begin()
        assert installer.uninstall_product(product)
        assert local_scheduler(portal) is None

    def test_a_client_of_the_rest_api_is_told_by_the_error(
        self, functional, manager, portal, waiting
    ):
        client = User(functional, "chief", accept="application/json")
        client.post(f"@addons/{PACKAGE}/uninstall", "")
        assert client.status == 500
        assert b"1 tasks have not ended yet" in client.contents
        transaction.begin()
        assert is_whole(portal)

    def test_a_script_is_told_by_the_error(self, portal, waiting):
        with pytest.raises(TasksUnfinished, match=r"1 tasks .*force=True"):
            get_installer(portal).uninstall_product(PACKAGE)
        assert is_whole(portal)
