"""The sites that keep their tasks in the database."""

from collective.background.environment.sites import find_sites
from collective.background.environment.sites import system_environment
from collective.background.interfaces import ITransactionalScheduler
from persistent import Persistent

import transaction


def local_scheduler(site):
    """Return the persistent scheduler of a site, or None."""
    found = site.getSiteManager().queryUtility(ITransactionalScheduler)
    return found if isinstance(found, Persistent) else None


def sites_with_tasks(connection, database):
    """Return (path, site, scheduler) of each site that has one, as a list.

    ``connection``: in which they are to be, the sites without acquisition;
    ``database``: its own, which is that of Zope.
    """
    found = []
    with system_environment(database) as env, transaction.manager:
        for site in find_sites(env.app):
            scheduler = local_scheduler(site)
            if scheduler is not None:
                path = "/".join(site.getPhysicalPath())
                found.append((path, place_of(site), place_of(scheduler)))
    return [
        (path, load(connection, site), load(connection, scheduler))
        for path, site, scheduler in found
    ]


def load(connection, place):
    """Return what is at a place: the name of a database, and an oid."""
    name, oid = place
    return connection.get_connection(name).get(oid)


def place_of(obj):
    return obj._p_jar.db().database_name, obj._p_oid
