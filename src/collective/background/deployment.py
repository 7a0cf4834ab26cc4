"""To which deployment a site belongs, and what becomes of the tasks of a copy.

For trusted code, which commits then. None of the functions needs to know where the
tasks of the site are; ``site``: as in ``api.portal.get()``, with its request.
"""

from collective.background.database.discarding import cancel_all
from collective.background.database.sites import local_scheduler
from collective.background.exceptions import NoDeployment
from collective.background.executing.deployment import assign
from collective.background.executing.deployment import deployment_of
from collective.background.executing.executor import process_executor
from collective.background.interfaces import ITransactionalScheduler
from collective.background.model import states
from collective.background.recurring.control import switch_off_all
from zope.component import getGlobalSiteManager

import logging


__all__ = ["adopt", "deployment_of", "discard", "is_foreign", "own_deployment"]

logger = logging.getLogger(__name__)


def own_deployment():
    """Return the name of the deployment that this process is part of, or None."""
    return process_executor().settings.deployment


def is_foreign(site):
    """Whether a site belongs to another deployment, so that nothing runs here for it.

    A site that belongs to none is nobody's: every process works for it.
    """
    return deployment_of(site) not in (None, own_deployment())


def adopt(site):
    """Let a site belong to the deployment of this process; its tasks go on here.

    In the current transaction. Returns the name of the deployment. Raises NoDeployment.
    """
    name = own_deployment()
    if name is None:
        raise NoDeployment(
            "this process has no setting 'deployment'; give it a name in zope.conf, or "
            "in the environment variable BACKGROUND_DEPLOYMENT, and start it again"
        )
    before = deployment_of(site)
    if before != name:
        assign(site, name)
        path = "/".join(site.getPhysicalPath())
        logger.info(
            "%s belongs to the deployment %r from now on (before: %s)",
            *(path, name, "none" if before is None else repr(before)),
        )
    return name


def discard(site):
    """Cancel all tasks of a site that have not ended, and let it belong to this one.

    Its recurring tasks are switched off. In a site that is foreign, tasks that were
    running when the copy was made are cancelled as well; else they are asked to stop.
    Tasks in the memory of other processes are not reached.

    Tasks are cancelled in transactions of their own, the rest is done in the current
    one; when that aborts the site is foreign as before. Returns and raises as
    ``adopt()``.
    """
    was_foreign = is_foreign(site)
    name = adopt(site)
    switch_off_all(site)
    _cancel_in_memory("/".join(site.getPhysicalPath()))
    scheduler = local_scheduler(site)
    if scheduler is not None:
        cancel_all(scheduler, take_from_others=was_foreign)
    return name


def _cancel_in_memory(path):
    scheduler = getGlobalSiteManager().getUtility(ITransactionalScheduler)
    asked = set()
    # Others may come when these end.
    while found := [
        record.id
        for record in scheduler.records(
            site_path=path, states=states.WAITING, limit=None
        )
        if record.id not in asked
    ]:
        for id in found:
            scheduler.cancel(id)
        asked.update(found)
