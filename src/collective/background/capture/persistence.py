"""Persistent objects that are not stored: more than their state, or less.

Those are carried by value, but for content. Used by ``capture/pickling.py``.
"""

from Acquisition import aq_base
from BTrees import family32
from BTrees import family64
from collective.background.capture.reference import describe
from collective.background.exceptions import NotPortable
from shutil import copyfileobj
from ZODB.blob import Blob


def _classes(kind):
    return frozenset(
        getattr(module, kind)
        for family in (family32, family64)
        for name in dir(family)
        if hasattr(module := getattr(family, name), kind)
    )


TREES = _classes("BTree")
TREE_SETS = _classes("TreeSet")


def is_stored(obj):
    """Whether a persistent object has an identity in a database."""
    base = aq_base(obj)
    return base._p_oid is not None and base._p_jar is not None


def check_no_content(obj):
    """Raise NotPortable for content, of which the state would be half of it."""
    if hasattr(aq_base(obj), "getPhysicalPath"):
        raise NotPortable(
            f"{describe(obj)} is not stored in the database: add it to a folder first, "
            "or pass what it is made of"
        )


def reduce_tree(obj):
    """Return how pickle makes a BTree again, NotImplemented of other objects.

    By itself it would go from each bucket into the next one, and too deep soon.
    """
    if type(obj) in TREES:
        return type(obj), (), None, None, iter(obj.items())
    if type(obj) in TREE_SETS:
        return type(obj), (tuple(obj),)
    return NotImplemented


def blob_of(spool):
    """Return a new Blob with the bytes of a Spool."""
    blob = Blob()
    with blob.open("w") as target, spool.open() as source:
        copyfileobj(source, target)
    return blob
