"""Temporary files with names, so that none of them has to stay open.

They are in a folder of the process's own, below that of the system for temporary
files, into which no other user may look. A file goes with the object that stands for
it, the folder with the process. A process that was killed leaves its folder behind; the
next one that starts takes it away. Which of them live is known by locks.
"""

from pathlib import Path

import atexit
import fcntl
import logging
import os
import shutil
import tempfile
import threading


logger = logging.getLogger(__name__)

PREFIX = "collective.background-"
# Of a folder that is not locked yet; nobody takes it for a dead process's.
NEW_PREFIX = "new-"


class NamedFile:
    """A temporary file that exists as long as this object, or its process.

    ``file``: open for writing, to be closed by who fills it.
    """

    __slots__ = ("__weakref__", "_path", "_process", "file")

    def __init__(self):
        descriptor, self._path = tempfile.mkstemp(dir=folder())
        self._process = os.getpid()
        self.file = os.fdopen(descriptor, "wb")

    def open(self):
        """Return the file, open for reading, without a buffer."""
        return open(self._path, "rb", buffering=0)

    def __del__(self):
        # Not at the end of the process, when the whole folder is gone, and there may be
        # no os any more; nor in the child of a fork: it is the parent's.
        if _folder is not None and getattr(self, "_process", None) == os.getpid():
            Path(self._path).unlink(missing_ok=True)


class _Folder:
    """The folder of this process, with its lock."""

    def __init__(self, parent):
        new = tempfile.mkdtemp(prefix=NEW_PREFIX + PREFIX, dir=parent)  # with mode 700
        self._lock = _lock(new)  # open until the end of the process
        self.path = new.replace(NEW_PREFIX + PREFIX, PREFIX)
        os.rename(new, self.path)

    def remove(self):
        os.close(self._lock)
        shutil.rmtree(self.path, ignore_errors=True)


_folder = None
_making = threading.Lock()


def folder():
    """Return the path of the process's folder. Raises OSError if there can be none."""
    global _folder
    with _making:
        if _folder is None:
            _folder = _Folder(tempfile.gettempdir())
        return _folder.path


def remove_leftovers():
    """Take away the folders of processes that have ended."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if path.stat(follow_symlinks=False).st_uid == os.getuid():
                descriptor = _lock(path)
                try:
                    shutil.rmtree(path)
                finally:
                    os.close(descriptor)
        except BlockingIOError:
            continue  # its process lives
        except OSError:  # another one does the same, or it is no folder
            logger.warning("%s could not be taken away", path, exc_info=True)


def _lock(path):
    """Return the descriptor of a folder, locked. Raises BlockingIOError if it was."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _begin_anew():
    """In the child of a fork: the folder is the parent's, and so is its lock."""
    global _folder, _making
    if _folder is not None:
        os.close(_folder._lock)
    _folder = None
    _making = threading.Lock()


def remove_folder():
    """Take away the folder of the process, with all that is in it."""
    global _folder
    if _folder is not None:
        _folder.remove()
        _folder = None


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(remove_folder)
