"""Switching a site to the persistent scheduler, and back.

Called by the profiles ``persistent`` and ``persistent-uninstall``, and when a site is
deleted. Tasks that wait in the memory of a process when it is switched are run there
all the same.
"""

from collective.background.database.scheduler import PersistentTransactionalScheduler
from collective.background.database.sites import local_scheduler
from collective.background.exceptions import TasksUnfinished
from collective.background.interfaces import ITransactionalScheduler
from collective.background.model import states
from plone import api


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
    unfinished = scheduler.count(states=states.UNFINISHED)
    if unfinished and not force:
        raise TasksUnfinished(
            f"{unfinished} tasks have not ended yet; wait for them or cancel them, or "
            "call collective.background.persistent.installing.uninstall(site, "
            "force=True)"
        )
    scheduler.retire()
    site.getSiteManager().unregisterUtility(scheduler, ITransactionalScheduler)


def site_is_deleted(site, event):
    """Called when a site is about to be deleted, and all its tasks with it."""
    scheduler = local_scheduler(site)
    if scheduler is not None:
        scheduler.retire()


def install_profile(setup_tool):
    """The post handler of the profile."""
    install(api.portal.get())


def uninstall_profile(setup_tool):
    """The pre handler of the profile."""
    uninstall(api.portal.get())
