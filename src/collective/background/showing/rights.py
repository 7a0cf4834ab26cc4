"""Whose tasks the current user may see, and whether he may see inside of them.

Comes in: TaskRecords. Goes out: filters; and whether the user of a task has rights that
the current one has not, so that what is inside is not for him. Used by ``visibility``,
and by the items of the tray.

A right is a permission in the site. Local roles are left out: who manages a site may
give them to himself.
"""

from AccessControl import getSecurityManager
from AccessControl.PermissionRole import rolesForPermissionOn
from collective.background.api.scheduling import get_scheduler
from collective.background.capture.users import current_user
from collective.background.capture.users import USER
from collective.background.capture.users import UserReference
from collective.background.environment.security import find_user
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from collective.background.exceptions import UserGone
from collective.background.scheduling.groups import KIND
from collective.background.scheduling.room import MANAGE
from functools import cache
from functools import cached_property
from plone import api
from zope.component.hooks import getSite


VIEW_OWN = "View own background tasks"


def current_reference():
    """Return the UserReference of the current user.

    None for a temporary one, whom no user folder knows.
    """
    try:
        return current_user()
    except (BadOption, NotPortable):
        return None


def is_of_this_site(user_id, user_path):
    """Whether that is a user of the current site, and not of Zope or of another site.

    ``user_id``: None for anonymous; ``user_path``: of his user folder.
    """
    folder = "/".join(api.portal.get().acl_users.getPhysicalPath())
    return user_id is not None and user_path == folder


def may_manage():
    """Whether the current user may manage all tasks of the current site."""
    return bool(getSecurityManager().checkPermission(MANAGE, getSite()))


def owner_filters(everybody):
    """Return the filters for whose tasks the current user may see, by their names.

    Those of his own, or, with ``everybody`` and the permission to manage tasks, of all.
    None: nobody's.
    """
    site_path = "/".join(getSite().getPhysicalPath())
    if everybody and may_manage():
        return {"site_path": site_path}
    user = current_reference()
    if user is None or user.kind != USER:
        return None
    if not getSecurityManager().checkPermission(VIEW_OWN, getSite()):
        return None
    return {"site_path": site_path, "user_id": user.id, "user_path": user.folder}


def belongs_to(record, owner):
    """Whether a TaskRecord has the values of the filters ``owner``."""
    return all(getattr(record, name) == value for name, value in owner.items())


class Trust:
    """What the current user may know of the tasks of others, in the current site.

    For one request: what was looked up is kept.
    """

    def __init__(self):
        self._site = getSite()
        self._user = getSecurityManager().getUser()
        self._covers_user = cache(self._covers_user)

    def covers(self, record):
        """Whether result, arguments, log and retry of a task are for the user.

        So they are if the task is his own, if he is a Manager, or if the user as whom
        it runs has no right that he has not. Of one who is not found, nobody knows. Of
        a group, all users count for who sees all its tasks.
        """
        users = {(record.user_id, record.user_path)}
        if record.kind == KIND and may_manage():
            users |= get_scheduler().users(record.id)
        return all(self._covers_user(*user) for user in users)

    def _covers_user(self, id, folder):
        if id is None or self._is_manager:  # anonymous, or nothing is beyond him
            return True
        if folder is None:  # Zope itself, or the emergency user
            return False
        reference = UserReference(kind=USER, id=id, folder=folder)
        if reference == current_reference():
            return True
        try:
            user = find_user(reference, self._site.getPhysicalRoot(), self._site)
        except UserGone:
            return False
        return self._rights_of(user) <= self._own_rights

    @cached_property
    def _is_manager(self):
        return bool(self._user.has_role("Manager", self._site))

    @cached_property
    def _own_rights(self):
        return self._rights_of(self._user)

    @cached_property
    def _holders(self):
        """The roles that have a permission, by its name."""
        names = [each[0] for each in self._site.ac_inherited_permissions(1)]
        return {
            name: frozenset(rolesForPermissionOn(name, self._site)) for name in names
        }

    def _rights_of(self, user):
        roles = {"Anonymous", *user.getRolesInContext(self._site)}
        return {name for name, holders in self._holders.items() if holders & roles}
