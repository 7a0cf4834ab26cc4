"""A user is deleted, and his tasks with him.

So who gets his id later does not inherit them. Comes in: the event of a user folder.
Goes out: nothing before the commit; then the tasks are forgotten, and those that run
are asked to stop. Called where Plone deletes users.
"""

from collective.background.interfaces import ITransactionalScheduler
from collective.background.scheduling.joining import join_transaction
from zope.component import getGlobalSiteManager
from zope.component.hooks import getSite

import logging


logger = logging.getLogger(__name__)


def principal_is_deleted(event):
    """Called when a user of the site is deleted, in the transaction that does it.

    Zope says nothing of users of its root.
    """
    site = getSite()
    if site is None:
        return
    # Tasks may be in memory still that were scheduled before the site had its own.
    managers = (getGlobalSiteManager(), site.getSiteManager())
    schedulers = {manager.getUtility(ITransactionalScheduler) for manager in managers}
    user_path = "/".join((*site.getPhysicalPath(), "acl_users"))
    join_transaction(
        reserve=lambda: None,
        finish=lambda: _forget(schedulers, event.principal, user_path),
        forget=lambda: None,
    )


def _forget(schedulers, user_id, user_path):
    for scheduler in schedulers:
        try:
            # Tasks of others may be in them; who gets the id would be called back.
            scheduler.silence(user_id, user_path)
        except Exception:
            logger.exception("the groups of a deleted user may call him back")
        tasks = scheduler.records(user_id=user_id, user_path=user_path, limit=None)
        for task in tasks:
            try:
                scheduler.remove(task.id)
            except Exception:  # of one task; the others are to go
                logger.exception("task %s of a deleted user stays", task.id)
