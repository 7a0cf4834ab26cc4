"""Connections and transactions of our own, beside those of the caller.

What is written here is neither undone with a visitor's transaction, nor a reason
for it to conflict.
"""

from contextlib import contextmanager
from random import uniform
from time import sleep
from transaction import TransactionManager
from transaction.interfaces import TransientError

import logging


logger = logging.getLogger(__name__)

ATTEMPTS = 10
PAUSE = 0.02  # seconds, times the number of attempts so far


@contextmanager
def own_connection(database):
    """Yield a connection to a ZODB.DB, and its TransactionManager.

    Each ``begin()`` of that shows what is in the database then.
    """
    manager = TransactionManager()
    connection = database.open(transaction_manager=manager)
    try:
        yield connection, manager
    finally:
        try:
            manager.abort()
        finally:
            # Also in an outage, when RelStorage lets abort() fail: or it would never be
            # used again.
            connection.close()


@contextmanager
def connected(database, oid):
    """Yield the object with this oid in a connection of its own, and its manager."""
    with own_connection(database) as (connection, manager):
        yield connection.get(oid), manager


def privately(database, oid, change):
    """Return ``change(obj)`` of the object with this oid, once it is committed.

    It is called again after a conflict, a few times.
    """
    attempts = 0
    while True:
        attempts += 1
        try:
            with connected(database, oid) as (obj, manager), manager:
                return change(obj)
        except TransientError as conflict:
            if attempts == ATTEMPTS:
                raise
            logger.debug("a private transaction conflicts: %s", conflict)
            sleep(uniform(0, PAUSE * attempts))
