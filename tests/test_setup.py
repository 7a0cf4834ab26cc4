"""What installing the add-on leaves in a site, and that uninstalling takes it back."""

from collective.background.executing.deployment import assign
from collective.background.executing.deployment import deployment_of
from collective.background.interfaces import ICollectiveBackgroundLayer
from collective.background.setuphandlers import PERMISSIONS
from plone import api
from plone.app.testing import applyProfile
from plone.app.testing import login
from plone.base.interfaces import INonInstallable
from plone.base.utils import get_installer
from plone.browserlayer.utils import registered_layers
from Products.CMFPlone.factory import addPloneSite
from zope.component import getAllUtilitiesRegisteredFor
from zope.component.hooks import setSite

import io
import pytest
import re
import tarfile


PACKAGE = "collective.background"
TIME = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+")


def roles_with(permission):
    return {
        item["name"]
        for item in api.portal.get().rolesOfPermission(permission)
        if item["selected"]
    }


def exported(site):
    """All that GenericSetup can say about a site: {file name: content}.

    Without times: plone.app.theming exports the current one as a default.
    """
    tarball = site.portal_setup.runAllExportSteps()["tarball"]
    with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
        return {
            member.name: TIME.sub(b"", archive.extractfile(member).read())
            for member in archive
            if member.isfile()
        }


def changed(site, before):
    """The names of the exported files that are not what they were."""
    now = exported(site)
    return {name for name in now.keys() | before if now.get(name) != before.get(name)}


@pytest.fixture
def fresh_site(integration):
    """A site of its own without the add-on, but with what the add-on depends on."""
    app = integration["app"]
    login(app, "admin")
    site = addPloneSite(app, "fresh")
    setSite(site)
    applyProfile(site, "plone.restapi:default")
    return site


class TestInstall:
    def test_is_installed(self, portal):
        assert get_installer(portal).is_product_installed(PACKAGE)

    def test_profile_version(self, portal):
        setup = portal.portal_setup
        assert setup.getLastVersionForProfile(f"{PACKAGE}:default") == ("1000",)

    def test_rest_api_is_installed_too(self, portal):
        assert get_installer(portal).is_product_installed("plone.restapi")

    def test_browser_layer(self, portal):
        assert ICollectiveBackgroundLayer in registered_layers()

    def test_uninstall_profile_is_hidden(self, portal):
        hidden = [
            profile
            for utility in getAllUtilitiesRegisteredFor(INonInstallable)
            for profile in utility.getNonInstallableProfiles()
        ]
        assert f"{PACKAGE}:uninstall" in hidden
        assert f"{PACKAGE}:default" not in hidden

    def test_zcml_is_loaded_by_plone(self):
        """A project needs no ZCML line: the entry point has Plone load it."""
        from plone.autoinclude.loader import load_packages

        assert PACKAGE in load_packages(target="plone")


class TestPermissions:
    def test_manage(self, portal):
        assert roles_with("Manage background tasks") == {
            "Manager",
            "Site Administrator",
        }

    def test_view_own(self, portal):
        assert roles_with("View own background tasks") == {
            "Authenticated",
            "Manager",
            "Site Administrator",
        }

    @pytest.mark.parametrize("permission", PERMISSIONS)
    def test_not_acquired_from_the_zope_root(self, portal, permission):
        assert not portal.acquiredRolesAreUsedBy(permission)


class TestUninstall:
    def test_leaves_the_site_as_it_was(self, fresh_site):
        before = exported(fresh_site)
        installer = get_installer(fresh_site)

        installer.install_product(PACKAGE)
        assert {"browserlayer.xml", "rolemap.xml"} <= changed(fresh_site, before)

        installer.uninstall_product(PACKAGE)
        assert changed(fresh_site, before) == set()

    def test_keeps_the_rest_api(self, portal):
        installer = get_installer(portal)
        installer.uninstall_product(PACKAGE)
        assert installer.is_product_installed("plone.restapi")

    def test_forgets_the_deployment(self, portal):
        assign(portal, "production")
        get_installer(portal).uninstall_product(PACKAGE)
        assert deployment_of(portal) is None

    def test_can_be_installed_again(self, portal):
        installer = get_installer(portal)
        installer.uninstall_product(PACKAGE)
        assert ICollectiveBackgroundLayer not in registered_layers()
        installer.install_product(PACKAGE)
        assert ICollectiveBackgroundLayer in registered_layers()
        assert roles_with("Manage background tasks") == {
            "Manager",
            "Site Administrator",
        }
