"""Keeps RelStorage 4.3 on SQLite from committing what was aborted.

``zope.conf`` imports it with ``%import``. A read conflict is found before RelStorage
has begun a transaction of SQLite. So it rolls nothing back, and what was to be written
stays in a temporary table of that connection: the next one that uses it commits that
as well.
"""

from relstorage.adapters.sqlite.txncontrol import Sqlite3TransactionControl


_abort = Sqlite3TransactionControl.abort


def abort(self, store_connection, txn=None):
    """Abort, and close the connection, with its temporary tables."""
    is_clean = _abort(self, store_connection, txn)
    store_connection.drop()
    return is_clean


Sqlite3TransactionControl.abort = abort
