"""Discovery: the sites that keep their tasks in the database, and a Feeder for each."""

from collective.background.database.feeder import Feeder
from collective.background.database.sites import place_of
from collective.background.database.sites import sites_with_tasks


def find_feeders(connection, executor, database, changed, wake):
    """Return new Feeders, by the name of the database and the oid of the scheduler.

    ``connection``: to look at the sites; they know then whether this process works for
    theirs. ``executor``, ``database``, ``changed``, ``wake``: see Feeder.
    """
    found = {}
    for path, site, scheduler in sites_with_tasks(connection, database):
        name, oid = place_of(scheduler)
        home = scheduler._p_jar.db(), oid
        feeder = Feeder(executor, database, home, path, place_of(site), changed, wake)
        feeder.recognize(site)
        found[name, oid] = feeder
    return found
