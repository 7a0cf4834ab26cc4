"""The sites of a database in which the add-on is installed, and looking into them."""

from collective.background.capture.snapshot import Snapshot
from collective.background.capture.users import SYSTEM
from collective.background.capture.users import UserReference
from collective.background.environment.application import environment
from collective.background.zopecompat import application_of
from collective.background.zopecompat import system_user
from contextlib import contextmanager
from plone.base.interfaces import IPloneSiteRoot
from plone.browserlayer.interfaces import ILocalBrowserLayerType
from transaction import TransactionManager
from transaction.interfaces import TransientError

import logging


logger = logging.getLogger(__name__)


PACKAGE = "collective.background"


def find_sites(container):
    """Yield them, where Zope's own page of sites finds them as well."""
    for obj in container.objectValues():
        if IPloneSiteRoot.providedBy(obj):
            if _has_package(obj):
                yield obj
        elif obj.meta_type == "Folder":
            yield from find_sites(obj)


def _has_package(site):
    try:
        layers = site.getSiteManager().queryUtility
        return layers(ILocalBrowserLayerType, name=PACKAGE) is not None
    except TransientError:
        raise
    except Exception:  # of one site; the others are to go on
        logger.exception("the site %s cannot be looked at", site.getId())
        return False


@contextmanager
def stored_site(database, path):
    """Yield a site as it is stored, or None if it is not there.

    In a connection of its own, without an environment, as who asks for nothing but its
    annotations needs none.
    """
    manager = TransactionManager()
    connection = database.open(transaction_manager=manager)
    try:
        found = application_of(connection)
        for name in path.split("/")[1:]:
            found = found and found.get(name)
        yield found
    finally:
        manager.abort()
        connection.close()


def system_environment(database, path=None):
    """Return the environment of the system user in a site, or in none."""
    user = UserReference(kind=SYSTEM, id=system_user().getUserName())
    return environment(Snapshot(site_path=path, user=user, request=None), database)
