"""Bytes that outlive the request: in memory up to a limit, on disk beyond it.

Uploads, request bodies and results are kept as Spools. What is on disk is an
unnamed temporary file, so it is gone with the process, however that ends.
"""

from copy import deepcopy

import io
import os
import tempfile


MEMORY_LIMIT = 1_000_000  # bytes
_CHUNK = 1 << 20  # bytes that are copied at once


class Spool:
    """A bounded or unbounded copy of a binary stream, readable by any thread.

    ``stream``: a file, read from where it stands to its end.
    ``limit``: keep at most so many bytes (None: all); ``truncated`` tells
    whether there were more.
    """

    __slots__ = ("_data", "_file", "size", "truncated")

    def __init__(self, stream, limit=None):
        self._file = None
        self.size = 0
        self.truncated = False
        buffer = io.BytesIO()
        while not self.truncated and (chunk := stream.read(_CHUNK)):
            if limit is not None and self.size + len(chunk) > limit:
                chunk = chunk[: limit - self.size]
                self.truncated = True
            self.size += len(chunk)
            if self._file is None and self.size > MEMORY_LIMIT:
                # Open for as long as the spool: it has no name to open it by.
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
                self._file.write(buffer.getvalue())
                buffer = self._file
            buffer.write(chunk)
        buffer.flush()
        self._data = buffer.getvalue() if self._file is None else None

    def share(self):
        """Return another Spool of the same bytes, with a life of its own."""
        shared = Spool.__new__(Spool)
        shared._data, shared._file = self._data, None
        if self._file is not None:
            shared._file = os.fdopen(os.dup(self._file.fileno()), "rb")
        shared.size, shared.truncated = self.size, self.truncated
        return shared

    def close(self):
        """Give memory or disk space back. May be called more than once."""
        if self._file is not None:
            self._file.close()
        self._data = None

    __del__ = close

    @classmethod
    def of(cls, data):
        """Return a Spool of ``data``, a bytes object."""
        return cls(io.BytesIO(data))

    @classmethod
    def of_file(cls, file, size, truncated=False):
        """Return a Spool of an open file of ``size`` bytes, which it then owns."""
        spool = cls.__new__(cls)
        spool._data, spool._file = None, file
        spool.size, spool.truncated = size, truncated
        return spool

    @property
    def on_disk(self):
        return self._file is not None

    def pread(self, size, position):
        """Return at most ``size`` bytes from ``position`` on.

        Raises ValueError when the spool has been closed.
        """
        if self._file is not None:
            return os.pread(self._file.fileno(), size, position)
        if self._data is None:
            raise ValueError("the spool is closed")
        return self._data[position : position + size]

    def read(self):
        """Return all of it."""
        return self.open().read()

    def open(self):
        """Return a seekable binary file of the caller's own."""
        return io.BufferedReader(_Reader(self))


class _Reader(io.RawIOBase):
    """Reads a spool at a position of its own."""

    def __init__(self, spool):
        self._spool = spool
        self._position = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        start = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._position,
            io.SEEK_END: self._spool.size,
        }[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer):
        data = self._spool.pread(len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class CapturedUpload:
    """What a FileUpload of the publisher had: a spool and its headers.

    It has the attributes that ``FileUpload`` reads from its field. ``upload``: has
    the ``file``, its ``headers`` and ``filename``; ``name``: of the field.
    """

    __slots__ = ("filename", "headers", "name", "spool")

    def __init__(self, upload, name):
        position = upload.file.tell()
        upload.file.seek(0)
        self.spool = Spool(upload.file)
        upload.file.seek(position)
        # Not as a dictionary: theirs ignore upper and lower case.
        self.headers = deepcopy(upload.headers)
        self.filename = upload.filename
        self.name = name

    @property
    def file(self):
        return self.spool.open()

    def close(self):
        self.spool.close()
