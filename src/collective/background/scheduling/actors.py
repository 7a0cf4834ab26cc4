"""Who does something to a task: the user, or who acts for none.

Comes in: the thread of the caller. Goes out: an Intervention. Called by both schedulers
when a task is cancelled or tried again.
"""

from collective.background.capture.users import ANONYMOUS
from collective.background.capture.users import current_user
from collective.background.capture.users import SYSTEM
from collective.background.exceptions import NotPortable
from collective.background.model import trail
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from datetime import UTC


_acting = ContextVar("acting", default=None)


@contextmanager
def acting(by):
    """Within this context it is not the user who does something, but ``by``.

    That is one of those of ``Intervention.by``.
    """
    token = _acting.set(by)
    try:
        yield
    finally:
        _acting.reset(token)


def intervention(action):
    """Return the Intervention of who is at work. ``action``: "cancel" or "retry"."""
    now = datetime.now(UTC)
    by = _acting.get()
    if by is not None:
        return trail.Intervention(action=action, when=now, by=by)
    try:
        user = current_user()
    except NotPortable:  # a temporary one, whom nobody will find again
        return trail.Intervention(action=action, when=now, by=trail.SYSTEM)
    if user.kind == SYSTEM:
        return trail.Intervention(action=action, when=now, by=trail.SYSTEM)
    return trail.Intervention(
        action=action,
        when=now,
        by=trail.USER,
        user_id=None if user.kind == ANONYMOUS else user.id,
        user_path=user.folder,
    )


def shutdown():
    """Return the Intervention of a process that ends."""
    with acting(trail.SHUTDOWN):
        return intervention(trail.CANCEL)
