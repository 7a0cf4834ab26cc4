"""The user of a task, fetched afresh from the user folder that knows him."""

from Acquisition import aq_base
from collective.background.capture import users as captured
from collective.background.exceptions import UserGone
from collective.background.zopecompat import anonymous_user
from collective.background.zopecompat import emergency_user
from collective.background.zopecompat import system_user


def find_user(reference, app, site):
    """Return the user, wrapped in his user folder, with today's roles.

    ``reference``: a UserReference. Raises UserGone when he was deleted or
    locked out after the task was scheduled.
    """
    if reference.kind == captured.SYSTEM:
        return system_user()
    if reference.kind == captured.EMERGENCY:
        user = emergency_user()
        if user is None or user.getUserName() != reference.id:
            raise UserGone(f"the emergency user {reference.id!r} no longer exists")
        return user.__of__(app.acl_users)
    if reference.kind == captured.ANONYMOUS:
        return anonymous_user(app if site is None else site)
    folder = app.unrestrictedTraverse(reference.folder[1:], None)
    user = None
    # Where a user folder was deleted, the one above it is acquired.
    if folder is not None and "/".join(folder.getPhysicalPath()) == reference.folder:
        user = folder.getUserById(reference.id)
    if user is None:
        raise UserGone(
            f"{reference.folder} knows no user {reference.id!r} (any more): he was "
            "deleted, or no plug-in of it for the enumeration of users finds him"
        )
    return aq_base(user).__of__(folder)
