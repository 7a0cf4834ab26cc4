"""What the GenericSetup profiles cannot say in XML; called by GenericSetup and by
the add-ons control panel (see profiles.zcml)."""

from collective.background.executing.deployment import unassign
from collective.background.recurring.state import remove_states
from plone import api
from plone.base.interfaces import INonInstallable
from zope.interface import implementer


PERMISSIONS = ("Manage background tasks", "View own background tasks")


@implementer(INonInstallable)
class HiddenProfiles:
    """Keeps all profiles but the usual ones out of the list of add-ons."""

    def getNonInstallableProfiles(self):
        return [
            "collective.background:uninstall",
            "collective.background:persistent",
            "collective.background:persistent-uninstall",
            "collective.background.persistent:uninstall",
        ]

    def getNonInstallableProducts(self):
        return []


def uninstall(setup_tool):
    """Take back the roles that rolemap.xml gave, which has no way to say so itself,
    and forget what the site knows of recurring tasks and of its deployment."""
    portal = api.portal.get()
    for permission in PERMISSIONS:
        portal.manage_permission(permission, roles=[], acquire=1)
    remove_states(portal)
    unassign(portal)
