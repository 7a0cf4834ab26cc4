"""Files of the request: each is copied once for all tasks of a transaction.

Comes in: an open file, an upload of the publisher, or a new blob. Goes out: a Spool, or
what is kept of the upload. Called by the pickler and by ``api/rerunning.py``.
"""

from collective.background.model.spool import CapturedUpload
from collective.background.model.spool import Spool
from collective.background.zopecompat import upload_name
from copy import deepcopy
from functools import partial
from itertools import zip_longest
from weakref import ref

import transaction


_CHUNK = 1 << 20  # bytes that are compared at once


def take_file(file):
    """Return a Spool of a binary file, from its beginning; it is left where it stands.

    It shares its bytes with all that were made of this file in the transaction.
    """
    taken = _taken()
    _, shared = taken.get(id(file), (None, lambda: None))
    spool = shared()
    if spool is None:
        position = file.tell()
        file.seek(0)
        spool = Spool(file)
        file.seek(position)
        # The file as well: or another one might get its id meanwhile.
        taken[id(file)] = file, _Shared(spool)
    return spool


def take_blob(blob):
    """Return a Spool of the bytes of a Blob, of which the state has none of them.

    It shares them as above, unless the blob was written again since then. Raises
    BlobError while it is written.
    """
    taken = _taken()
    _, shared = taken.get(id(blob), (None, lambda: None))
    with blob.open("r") as file:
        spool = shared()
        if spool is None or not _has_bytes(spool, file):
            file.seek(0)
            spool = Spool(file)
            taken[id(blob)] = blob, _Shared(spool)
    return spool


def _has_bytes(spool, file):
    """Whether a Spool has the bytes of a file, which is read up to what differs."""
    with spool.look() as copied:
        chunks = zip_longest(_chunks(copied), _chunks(file))
        return all(one == other for one, other in chunks)


def _chunks(file):
    return iter(partial(file.read, _CHUNK), b"")


class _Shared:
    """Makes further Spools of the bytes of one, as long as there is any."""

    def __init__(self, spool):
        self._content = ref(spool.content)
        self._size = spool.size

    def __call__(self):
        content = self._content()
        return content and Spool.of_content(content, self._size)


def take_upload(upload):
    """Return the CapturedUpload of a FileUpload."""
    return CapturedUpload(
        take_file(upload.file),
        deepcopy(upload.headers),  # no dictionary: they ignore upper and lower case
        upload.filename,
        upload_name(upload),
    )


def _taken():
    """Return what was taken in this transaction, by the ids of the files."""
    current = transaction.get()
    try:
        return current.data(take_file)
    except KeyError:
        taken = {}
        current.set_data(take_file, taken)
        return taken
