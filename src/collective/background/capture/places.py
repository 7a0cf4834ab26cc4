"""Places: where a persistent object is now, of which a task has a Reference.

Comes in: a Reference, and the application of the task's connection. Goes out: the
object, acquisition-wrapped where it is now. Called where packages are unpacked, and
by ``environment/``.

Paths change, catalogs may be late, and nothing that is stored says where it is. So
whoever may know is asked in turn; and it must be the same object (the oid is compared),
not one that took its place.
"""

from Acquisition import aq_base
from Acquisition import aq_inner
from collective.background.capture.reference import has_place
from collective.background.capture.reference import refer_to
from collective.background.exceptions import ReferenceGone
from collective.background.model.outages import is_outage
from plone.app.uuid.utils import uuidToPhysicalPath
from plone.uuid.interfaces import ATTRIBUTE_NAME
from transaction.interfaces import TransientError
from ZODB.POSException import POSKeyError
from zope.component import queryUtility
from zope.intid.interfaces import IIntIds

import logging


logger = logging.getLogger(__name__)


def resolve(reference, app):
    """Return the object in the task's connection.

    ``app``: the application, wrapped in the task's request. What has no place is
    returned as it is stored, if it never had one. Raises ReferenceGone.
    """
    if reference.path is not None:
        found = find(app, reference.path[1:])
        if _is_same(found, reference):
            # It may have been moved further up, and be acquired from there.
            return aq_inner(found)
    obj = _load(reference, app)
    found = _place(obj, reference, app)
    if found is not None:
        return aq_inner(found)
    if reference.path is None:
        return obj
    reason = "it was deleted"
    if reference.uid is None:
        reason += ", or moved to where no catalog knows it,"
    raise ReferenceGone(
        f"{reference} no longer exists: {reason} after the task was scheduled"
    )


def find(obj, path):
    """Return what is at ``path`` below an object, or None. In an outage, raises that.

    The default of ``unrestrictedTraverse()`` is what that returns in an outage, too.
    """
    try:
        return obj.unrestrictedTraverse(path)
    except Exception as error:  # of whatever is on the way: anything
        if isinstance(error, TransientError) or is_outage(error):
            raise
        logger.debug("nothing is at %s", path, exc_info=True)
        return None


def _load(reference, app):
    """Return the object as it is stored, without acquisition. Raises ReferenceGone."""
    try:
        connection = app._p_jar.get_connection(reference.database)
        found = connection.get(reference.oid)
        found._p_activate()
    except KeyError as error:  # POSKeyError is one
        if isinstance(error, POSKeyError):
            reason = "it was removed after the task was scheduled"
        else:
            reason = f"there is no database {reference.database!r}"
        raise ReferenceGone(f"{reference} no longer exists: {reason}") from error
    return found


def _is_same(obj, reference):
    base = aq_base(obj)
    return (
        getattr(base, "_p_oid", None) == reference.oid
        and base._p_jar.db().database_name == reference.database
    )


def _place(obj, reference, app):
    """Return a stored object where it is now, acquisition-wrapped, or None."""
    if not has_place(obj):
        return None
    for ask in (_ask_catalog, _ask_intids, _ask_parent):
        found = ask(obj, reference, app)
        if _is_same(found, reference):
            return found
    return None


def _ask_catalog(obj, reference, app):
    """What was copied a moment ago may have another UID since."""
    uid = getattr(obj, ATTRIBUTE_NAME, None) or reference.uid
    path = uid and uuidToPhysicalPath(uid)
    return path and find(app, path)


def _ask_intids(obj, reference, app):
    """They know what was moved before the catalog knew of it."""
    intids = queryUtility(IIntIds)
    intid = intids and intids.queryId(obj)
    if intid is None:
        return None
    path = getattr(intids.refs.get(intid), "path", None)
    return path and find(app, path)


def _ask_parent(obj, reference, app):
    """What no catalog knows has a name, and is where it was, or says where it is."""
    for parent in (reference.parent, _stored_parent(obj)):
        found = parent and _look_into(parent, obj, app)
        if found is not None and _is_same(found, reference):
            return found
    return None


def _stored_parent(obj):
    """Return a Reference to the parent that is stored with an object, or None."""
    parent = vars(obj).get("__parent__")
    is_stored = getattr(aq_base(parent), "_p_oid", None) is not None
    return refer_to(parent) if is_stored else None


def _look_into(parent, obj, app):
    """Return what has the name of an object in its parent, a Reference, or None."""
    try:
        return find(resolve(parent, app), obj.getPhysicalPath()[-1:])
    except ReferenceGone:
        return None
