"""Bytes that outlive the request: in memory up to a limit, on disk beyond it.

Uploads, request bodies and results are kept as Spools. None has an open file: what is
on disk is opened for each look into it, and closed again.
"""

from collective.background.model.files import NamedFile
from collective.background.model.messages import NAME_LENGTH
from collective.background.model.messages import portable_line

import io


MEMORY_LIMIT = 1_000_000  # bytes
_CHUNK = 1 << 20  # bytes that are copied at once


class InMemory:
    """What a Spool has that is short. ``data``: bytes."""

    __slots__ = ("__weakref__", "data")

    def __init__(self, data):
        self.data = data

    def open(self):
        """Return a binary file, open for reading."""
        return io.BytesIO(self.data)


class Spool:
    """A bounded or unbounded copy of a binary stream, readable by any thread.

    ``stream``: a file, read from where it stands to its end.
    ``limit``: keep at most so many bytes (None: all); ``truncated`` tells
    whether there were more.

    ``content``: has the bytes, and is the same one in all Spools that share them; its
    ``open()`` returns a binary file. None when the Spool is closed.
    """

    __slots__ = ("content", "size", "truncated")

    def __init__(self, stream, limit=None):
        self.content = None
        self.size = 0
        self.truncated = False
        buffer = io.BytesIO()
        try:
            while not self.truncated and (chunk := stream.read(_CHUNK)):
                if limit is not None and self.size + len(chunk) > limit:
                    chunk = chunk[: limit - self.size]
                    self.truncated = True
                self.size += len(chunk)
                if self.content is None and self.size > MEMORY_LIMIT:
                    self.content = NamedFile()
                    self.content.file.write(buffer.getvalue())
                    buffer = self.content.file
                buffer.write(chunk)
            if self.content is None:
                self.content = InMemory(buffer.getvalue())
        finally:
            buffer.close()

    def share(self):
        """Return another Spool of the same bytes, with a life of its own."""
        return self.of_content(self.content, self.size, self.truncated)

    def close(self):
        """Give memory or disk space back, if nobody else has the same bytes.

        May be called more than once.
        """
        self.content = None

    @classmethod
    def of(cls, data):
        """Return a Spool of ``data``, a bytes object."""
        return cls(io.BytesIO(data))

    @classmethod
    def of_content(cls, content, size, truncated=False):
        """Return a Spool of a content that is there already, of ``size`` bytes."""
        spool = cls.__new__(cls)
        spool.content, spool.size, spool.truncated = content, size, truncated
        return spool

    @property
    def on_disk(self):
        return not isinstance(self.content, InMemory)

    def look(self):
        """Return a binary file, to be closed soon.

        Raises ValueError when the spool has been closed.
        """
        if self.content is None:
            raise ValueError("the spool is closed")
        return self.content.open()

    def read(self):
        """Return all of it. Raises ValueError when the spool has been closed."""
        if isinstance(self.content, InMemory):
            return self.content.data  # not a copy of it
        with self.look() as file:
            return file.read()

    def open(self):
        """Return a seekable binary file of the caller's own.

        It is of no use once the spool is closed: reading it raises ValueError then.
        """
        return io.BufferedReader(_Reader(self))


class _Reader(io.RawIOBase):
    """Reads a spool at a position of its own, without a file that stays open."""

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
        with self._spool.look() as file:
            file.seek(self._position)
            read = file.readinto(buffer)
        self._position += read
        return read


class CapturedUpload:
    """What a FileUpload of the publisher had: a spool and its headers.

    It has the attributes that ``FileUpload`` reads from its field. ``spool``: of the
    file; ``headers``, ``filename`` and ``name`` (of the field): those of the upload.
    """

    __slots__ = ("filename", "headers", "name", "spool")

    def __init__(self, spool, headers, filename, name):
        self.spool = spool
        self.headers = headers
        # What file systems call a file is not always a text for everybody.
        self.filename = portable_line(filename, NAME_LENGTH)
        self.name = name

    @property
    def file(self):
        return self.spool.open()

    def close(self):
        self.spool.close()
