"""Users: as whom a task runs.

Comes in: the current user, or a user id. Goes out: a UserReference, which
``environment/security.py`` finds again. Called by ``capture/snapshot.py``.
"""

from AccessControl import getSecurityManager
from Acquisition import aq_base
from Acquisition import aq_inner
from Acquisition import aq_parent
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from collective.background.model.messages import portable_key
from collective.background.model.values import value
from collective.background.zopecompat import emergency_user
from collective.background.zopecompat import is_special
from collective.background.zopecompat import system_user
from collective.background.zopecompat import user_folder_in
from dataclasses import dataclass
from sys import intern
from zope.component.hooks import getSite


USER = "user"
ANONYMOUS = "anonymous"
SYSTEM = "system"
EMERGENCY = "emergency"


@value("user")
@dataclass(frozen=True, kw_only=True, slots=True)
class UserReference:
    """Who a task runs as.

    - ``kind``: "user", "anonymous", "system" (Zope itself) or "emergency"
    - ``id``: the user id; None for anonymous
    - ``folder``: physical path of his user folder, a string, or None
    """

    kind: str
    id: str | None = None
    folder: str | None = None


def current_user():
    """Return the UserReference of the current user.

    Raises NotPortable for a temporary user whom no user folder knows.
    """
    user = getSecurityManager().getUser()
    base = aq_base(user)
    if base is aq_base(system_user()):
        return UserReference(kind=SYSTEM, id=user.getUserName())
    if base is aq_base(emergency_user()):
        return UserReference(kind=EMERGENCY, id=user.getUserName())
    user_id = user.getId()
    if user_id is None:
        if user.has_role("Authenticated"):
            raise NotPortable(
                f"the current user {user.getUserName()!r} is a temporary one that "
                "no user folder knows; schedule as another: using(user=…)"
            )
        return UserReference(kind=ANONYMOUS)
    user_id = portable_key(user_id)  # of whatever class a plug-in has
    folder = aq_parent(aq_inner(user))
    if folder is None or is_special(base):
        # Made on the spot, perhaps with more rights than he has of his own.
        return named_user(user_id, getSite())
    return UserReference(
        kind=USER, id=user_id, folder=intern("/".join(folder.getPhysicalPath()))
    )


def named_user(user_id, site):
    """Return the user as the site's user folder or one above it knows him."""
    if not isinstance(user_id, str) or not user_id:
        raise BadOption(f"user is {user_id!r}; it must be the id of a user")
    if user_id == system_user().getUserName():
        return UserReference(kind=SYSTEM, id=user_id)
    container = aq_inner(site)
    while container is not None:
        folder = user_folder_in(container)
        if folder is not None and folder.getUserById(user_id) is not None:
            return UserReference(
                kind=USER, id=user_id, folder="/".join(folder.getPhysicalPath())
            )
        container = aq_parent(container)
    raise BadOption(
        f"user is {user_id!r}, but no user folder of the site or above it knows him"
    )
