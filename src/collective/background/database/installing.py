"""Switching a site to the persistent scheduler, and back.

Called by the profiles of ``persistent/``, by the uninstall profile of the package, and
when a site is deleted. Tasks that wait in the memory of a process when it is switched
are run there all the same.
"""

from collective.background.database.scheduler import PersistentTransactionalScheduler
from collective.background.database.sites import local_scheduler
from collective.background.exceptions import TasksUnfinished
from collective.background.interfaces import ITransactionalScheduler
from collective.background.model import states
from collective.background.model.messages import _
from plone import api
from zope.globalrequest import getRequest


PROFILES = (
    "collective.background.persistent:default",
    "collective.background:persistent",
)


def install(site):
    """Give the site a persistent scheduler, if it has none."""
    if local_scheduler(site) is None:
        site.getSiteManager().registerUtility(
            PersistentTransactionalScheduler(), ITransactionalScheduler
        )


def uninstall(site, force=False):
    """Take the persistent scheduler of the site away, and all its tasks with it.

    ``force``: also if there are unfinished ones, which then never run.
    Raises TasksUnfinished.
    """
    scheduler = local_scheduler(site)
    if scheduler is None:
        return
    unfinished = count_unfinished(site)
    if unfinished and not force:
        raise TasksUnfinished(
            f"{unfinished} tasks have not ended yet; wait for them or cancel them, or "
            "call collective.background.persistent.installing.uninstall(site, "
            "force=True)"
        )
    scheduler.retire()
    site.getSiteManager().unregisterUtility(scheduler, ITransactionalScheduler)
    # However it was switched on: the add-ons control panel is to know that it is off.
    for profile in PROFILES:
        site.portal_setup.unsetLastVersionForProfile(profile)


def count_unfinished(site):
    """Return how many tasks a site has in the database that have not ended."""
    scheduler = local_scheduler(site)
    return 0 if scheduler is None else scheduler.count(states=states.UNFINISHED)


def site_is_deleted(site, event):
    """Called when a site is about to be deleted, and all its tasks with it."""
    scheduler = local_scheduler(site)
    if scheduler is not None:
        scheduler.retire()


def install_profile(setup_tool):
    """The post handler of the profile."""
    install(api.portal.get())


def uninstall_profile(setup_tool):
    """The pre handler of all profiles that take it away: before anything has changed.

    Raises TasksUnfinished. The add-ons control panel does not show why something
    failed, so a person is told here.
    """
    site = api.portal.get()
    unfinished = count_unfinished(site)
    if unfinished and getRequest() is not None:
        text = _(
            "Nothing was uninstalled: some tasks have not ended yet (${number}). Wait "
            "for them, or cancel them in Site Setup, Background tasks; then try again.",
            mapping={"number": unfinished},
        )
        api.portal.show_message(text, getRequest(), type="error")
    uninstall(site)
