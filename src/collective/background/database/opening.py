"""Opening groups: they join the current transaction, and may end with it.

As all of their members may have ended by then; or there are none.
"""

from collective.background.database import outbox
from collective.background.database.groups import StoredGroup
from collective.background.database.settling import close_group
from collective.background.database.settling import News
from collective.background.database.wholes import join
from collective.background.executing.executor import process_executor
from collective.background.scheduling import rules


def open_group(scheduler, group):
    """Store a Group, and those in which it is, unless that is done already."""
    if group.id in scheduler.groups:
        return
    if group.parent is not None:
        open_group(scheduler, group.parent)
    scheduler.renew()
    keep = rules.how_long_to_keep(process_executor().settings)
    stored = StoredGroup(group, scheduler.home(), keep)
    scheduler.groups[group.id] = stored
    join(scheduler, stored)
    news = News()
    # More may join until then; and nobody else knows it before.
    scheduler._p_jar.transaction_manager.get().addBeforeCommitHook(
        _close, (scheduler, group.id, news)
    )
    outbox.tell_when_committed(scheduler, news)


def _close(scheduler, id, news):
    group = scheduler.groups.get(id)
    if group is not None:  # it was not rolled back
        close_group(scheduler, group, news)
