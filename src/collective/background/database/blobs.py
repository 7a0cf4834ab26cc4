"""Files of tasks as blobs, one for all tasks of a transaction that have the same file.

Comes in: a Spool. Goes out: a Blob; and the other way round, a content for a Spool,
which opens the blob when it is read, in whatever thread.
"""

from collective.background.capture.persistence import blob_of
from collective.background.database.private import connected
from collective.background.scheduling.joining import join_transaction
from ZODB.interfaces import BlobError

import transaction


class Blobs:
    """The Blobs that the current transaction writes, by what they are made of."""

    def __init__(self):
        self._blobs = {}

    def of(self, spool):
        """Return the Blob with the bytes of a Spool."""
        key = id(spool.content)
        if key not in self._blobs:
            # A Blob is of no use once the savepoint before it is rolled back.
            join_transaction(
                reserve=lambda: None,
                finish=lambda: None,
                forget=lambda: self._blobs.pop(key, None),
            )
            # The content as well: or another one might get its id meanwhile.
            self._blobs[key] = spool.content, blob_of(spool)
        _, blob = self._blobs[key]
        return blob


def blobs_of_transaction():
    """Return the Blobs of the current transaction."""
    current = transaction.get()
    try:
        return current.data(blobs_of_transaction)
    except KeyError:
        blobs = Blobs()
        current.set_data(blobs_of_transaction, blobs)
        return blobs


def content_of(blob):
    """Return what a Spool has of a Blob: ``open()`` returns a file.

    Only that of a Blob that is committed can be opened in any thread.
    """
    try:
        return _Committed(blob)
    except BlobError:
        return _Written(blob)


class _Written:
    """A Blob that the current transaction has written."""

    def __init__(self, blob):
        self._blob = blob

    def open(self):
        """Return the file, open for reading."""
        return self._blob.open("r")


class _Committed:
    """A Blob in the database. Raises BlobError if it is not committed."""

    def __init__(self, blob):
        self._path = _path_of(blob)
        self._database, self._oid = blob._p_jar.db(), blob._p_oid

    def open(self):
        """Return the file, open for reading."""
        try:
            return open(self._path, "rb", buffering=0)
        except FileNotFoundError:
            # A client keeps only so many of them. The connection that the blob came
            # from may be at work in another thread, or for another task.
            with connected(self._database, self._oid) as (blob, _):
                self._path = _path_of(blob)
                return open(self._path, "rb", buffering=0)


def _path_of(blob):
    """Return the path of the file of a Blob, which is there now. Raises BlobError."""
    blob._p_activate()
    return blob.committed()
