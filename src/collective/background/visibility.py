"""Who may see, and act on, which task.

A user has his own tasks; who has the permission "Manage background tasks" has
all of the site. Another's task is not there at all. Used by everything that
shows tasks to people: viewlet, control panel, REST and views of add-ons; the
scheduler itself is for trusted code.
"""

from AccessControl import getSecurityManager
from collective.background.api import get_scheduler
from collective.background.capture.snapshot import current_user
from collective.background.capture.snapshot import USER
from collective.background.exceptions import TaskNotFound
from dataclasses import replace
from zope.component.hooks import getSite


MANAGE = "Manage background tasks"
VIEW_OWN = "View own background tasks"


def may_manage():
    """Whether the current user may manage all tasks of the current site."""
    return bool(getSecurityManager().checkPermission(MANAGE, getSite()))


def visible_records(*, start=0, limit=50, everybody=False, **filters):
    """Return the TaskRecords that the current user may see, newest first.

    Those of his own, or, with ``everybody`` and the permission to manage tasks,
    all of the site. The other arguments are those of
    ``ITransactionalScheduler.records``.
    """
    owner = _owner(everybody)
    if owner is None:
        return []
    found = get_scheduler().records(start=start, limit=limit, **{**filters, **owner})
    return [shown(record) for record in found]


def count_visible(*, everybody=False, **filters):
    """Return how many tasks ``visible_records`` can show."""
    owner = _owner(everybody)
    return 0 if owner is None else get_scheduler().count(**{**filters, **owner})


def visible_record(id):
    """Return the record of one task. Raises TaskNotFound, also for another's."""
    record = get_scheduler().record(id)
    if record is None or not _is_visible(record):
        raise TaskNotFound(f"there is no task {id!r} (any more)")
    return shown(record)


def shown(record):
    """Return the record without what is for managers only: traceback and log."""
    if may_manage():
        return record
    error = record.error and replace(record.error, traceback="")
    return replace(record, error=error, log=())


def _owner(everybody):
    """Return the filters for whose tasks are shown, or None for nobody's."""
    site_path = "/".join(getSite().getPhysicalPath())
    if everybody and may_manage():
        return {"site_path": site_path}
    user = current_user()
    if user.kind != USER or not getSecurityManager().checkPermission(
        VIEW_OWN, getSite()
    ):
        return None
    return {"site_path": site_path, "user_id": user.id, "user_path": user.folder}


def _is_visible(record):
    owner = _owner(everybody=True)
    return owner is not None and all(
        getattr(record, name) == value for name, value in owner.items()
    )
