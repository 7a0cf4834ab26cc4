"""Outages: which exceptions say that the storage of the ZODB was away.

ZEO has an exception of its own for that. RelStorage lets those of the database driver
through, which an add-on's own SQL may raise as well, so their traceback is looked at.
None of them is imported: a site has one of them at the most.
"""

from traceback import walk_tb


# By the dotted names of their classes.
DISCONNECTED = frozenset(
    {
        "ZEO.Exceptions.ClientDisconnected",
        "relstorage.adapters.interfaces.ReplicaClosedException",
        "relstorage.storage.interfaces.StorageDisconnectedDuringCommit",
    }
)
# What a driver calls the loss of a connection (PEP 249).
DRIVER_ERRORS = frozenset({"OperationalError", "InterfaceError"})
# A ValueError of ZODB's cache: ZEO's server was killed, and gives ids of new objects
# that this client has kept in store to others as well.
SAME_OID = "A different object already has the same oid"


def is_outage(error):
    """Whether the storage was away when ``error``, an exception, was raised.

    Also when that is what led to it: RelStorage, for one, raises an error while the
    transaction of another one is aborted, which hides that one.
    """
    seen = set()
    while error is not None and id(error) not in seen:
        if _tells_of_outage(error):
            return True
        seen.add(id(error))
        hidden = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or hidden
    return False


def _tells_of_outage(error):
    classes = type(error).__mro__
    if any(f"{cls.__module__}.{cls.__qualname__}" in DISCONNECTED for cls in classes):
        return True
    if not DRIVER_ERRORS.isdisjoint(cls.__name__ for cls in classes):
        return any(name.startswith("relstorage.") for name in _modules(error))
    return (
        type(error) is ValueError
        and error.args == (SAME_OID,)
        and "ZODB.Connection" in _modules(error)
    )


def _modules(error):
    """Return the names of the modules that the error has passed through."""
    return [
        frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)
    ]
