"""References: how persistent objects travel from one thread to another.

Comes in: an object of the request's connection. Goes out, in the task's
thread: the same object of the task's connection, acquisition-wrapped in the
task's request; found again by ``places``. Used by the pickler
(``capture/pickling.py``).
"""

from Acquisition import aq_base
from Acquisition import aq_chain
from Acquisition import aq_inner
from Acquisition import aq_parent
from collective.background.exceptions import NotPortable
from collective.background.model.messages import portable_line
from collective.background.model.values import value
from dataclasses import dataclass
from persistent import Persistent
from plone.uuid.interfaces import ATTRIBUTE_NAME
from plone.uuid.interfaces import IUUID
from zope.component.hooks import getSite

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
    - ``parent``: a Reference to what it is in, or None if it has no path. Of a parent
      that has a UID no further one is needed
    """

    path: tuple | None
    uid: str | None
    oid: bytes
    database: str
    title: str
    parent: "Reference | None" = None

    def __str__(self):
        if self.path is None:
            return f"{self.title} (oid {self.oid.hex()} of {self.database!r})"
        return f"{self.title!r} at {'/'.join(self.path) or '/'}"


def refer_to(obj):
    """Return a Reference to ``obj``, a persistent object.

    It must have an identity already: ``base._p_oid`` and ``base._p_jar``. Raises
    NotPortable if that is one of a database that tasks of the site do not open.
    """
    database, site = aq_base(obj)._p_jar.db(), aq_base(getSite())
    here = getattr(site, "_p_jar", None)
    name = database.database_name
    if here is not None and here.db().databases.get(name) is not database:
        raise NotPortable(
            f"{describe(obj)} is in a database {name!r} that is none of those of the "
            "site; pass what the task needs of it"
        )
    return _refer_to(obj, is_parent=False)


def _refer_to(obj, is_parent):
    base = aq_base(obj)
    path = obj.getPhysicalPath() if _has_path(obj) else None
    # That of an object without its wrapper does not begin at the root.
    path = path if path and path[0] == "" else None
    # The attribute of nearly all content, which the adapter looks up after
    # it has looked for interfaces of the object and all that is above it.
    uid = getattr(base, ATTRIBUTE_NAME, None) or IUUID(obj, None)
    return Reference(
        path=path,
        uid=uid,
        oid=base._p_oid,
        database=base._p_jar.db().database_name,
        title=title_of(obj),
        parent=None if path is None or (is_parent and uid) else _parent_of(obj, path),
    )


def has_place(base):
    """Whether an object, without its wrapper, can be in the tree of content.

    With a wrapper it may acquire the method, or the name of what it is in.
    """
    return hasattr(base, "getPhysicalPath") and (
        hasattr(base, "id") or hasattr(base, "getId")
    )


def _has_path(obj):
    """Whether an object, and each one above it, has a name."""
    chain = map(aq_base, aq_chain(aq_inner(obj)))
    return all(has_place(base) for base in chain if isinstance(base, Persistent))


def _parent_of(obj, path):
    """Return a Reference to what has the path without its last name, or None."""
    parent = aq_parent(aq_inner(obj))
    base = aq_base(parent)
    if getattr(base, "_p_oid", None) is None or base._p_jar is None:
        return None
    reference = _refer_to(parent, is_parent=True)
    return reference if reference.path == path[:-1] else None


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
