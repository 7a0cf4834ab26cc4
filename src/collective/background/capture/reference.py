"""References: how persistent objects travel from one thread to another.

Comes in: an object of the request's connection. Goes out, in the task's
thread: the same object of the task's connection, acquisition-wrapped in the
task's request. Used by the pickler (``capture/pickling.py``).
"""

from Acquisition import aq_base
from collective.background.exceptions import ReferenceGone
from collective.background.model.messages import portable_line
from collective.background.model.outages import is_outage
from collective.background.model.values import value
from dataclasses import dataclass
from plone.app.uuid.utils import uuidToPhysicalPath
from plone.uuid.interfaces import ATTRIBUTE_NAME
from plone.uuid.interfaces import IUUID
from transaction.interfaces import TransientError
from ZODB.POSException import POSKeyError

import logging


logger = logging.getLogger(__name__)


@value("reference")
@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Where an object was, and what it is.

    - ``path``: its physical path, a tuple; None for what has no place in the
      tree of content (annotations, registry records), or is not wrapped
    - ``uid``: its UID, or None
    - ``oid`` and ``database``: its identity in the ZODB
    - ``title``: for error messages
    """

    path: tuple | None
    uid: str | None
    oid: bytes
    database: str
    title: str

    def __str__(self):
        if self.path is None:
            return f"{self.title} (oid {self.oid.hex()} of {self.database!r})"
        return f"{self.title!r} at {'/'.join(self.path) or '/'}"


def refer_to(obj):
    """Return a Reference to ``obj``, a persistent object.

    It must have an identity already: ``base._p_oid`` and ``base._p_jar``.
    """
    base = aq_base(obj)
    # Not of the wrapped object, which may acquire the method.
    path = obj.getPhysicalPath() if hasattr(base, "getPhysicalPath") else None
    return Reference(
        # That of an object without its wrapper does not begin at the root.
        path=path if path and path[0] == "" else None,
        # The attribute of nearly all content, which the adapter looks up after
        # it has looked for interfaces of the object and all that is above it.
        uid=getattr(base, ATTRIBUTE_NAME, None) or IUUID(obj, None),
        oid=base._p_oid,
        database=base._p_jar.db().database_name,
        title=title_of(obj),
    )


def title_of(obj):
    """Return a short text for error messages; never fails."""
    for name in ("Title", "title", "getId", "id", "__name__"):
        # Content may acquire anything by such a name, so ask the bare object.
        value = getattr(aq_base(obj), name, None)
        if callable(value):
            try:
                value = getattr(obj, name)()
            except Exception:  # a title must not make a task impossible
                logger.debug("%s() of %r failed", name, obj, exc_info=True)
                continue
        if isinstance(value, str) and value:
            return portable_line(value)
    return type(aq_base(obj)).__name__


def describe(obj):
    """Return ``a Document 'Title'``: how error messages call an object."""
    return f"a {type(aq_base(obj)).__name__} {title_of(obj)!r}"


def resolve(reference, app):
    """Return the object in the task's connection.

    ``app``: the application, wrapped in the task's request.
    The path is tried first, then the UID, so that renaming and moving do no
    harm; either way it must be the same object (the oid is compared), not one
    that took its place. Raises ReferenceGone.
    """
    if reference.path is None:
        return _by_oid(reference, app)
    found = find(app, reference.path[1:])
    if found is not None and _is_same(found, reference):
        return found
    path = reference.uid and uuidToPhysicalPath(reference.uid)
    found = path and find(app, path)
    if found is not None and _is_same(found, reference):
        return found
    raise ReferenceGone(
        f"{reference} no longer exists: it was deleted after the task was scheduled"
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


def _is_same(obj, reference):
    base = aq_base(obj)
    return (
        getattr(base, "_p_oid", None) == reference.oid
        and base._p_jar.db().database_name == reference.database
    )


def _by_oid(reference, app):
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
