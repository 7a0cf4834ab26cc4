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
    """Return (path, scheduler) of each site that has one, as a list.

    ``connection``: in which the schedulers are to be; ``database``: its own, which is
    that of Zope.
    """
    found = []
    with system_environment(database) as env, transaction.manager:
        for site in find_sites(env.app):
            scheduler = local_scheduler(site)
            if scheduler is not None:
                home = scheduler._p_jar.db().database_name
                path = "/".join(site.getPhysicalPath())
                found.append((path, home, scheduler._p_oid))
    return [
        (path, connection.get_connection(home).get(oid)) for path, home, oid in found
    ]
