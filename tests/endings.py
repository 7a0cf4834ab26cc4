"""Functions for tasks that end in a way that is hard to keep: for both schedulers."""

from threading import Lock
from types import SimpleNamespace
from ZPublisher.HTTPRequest import FileUpload

import io
import sys


class Mute(Exception):
    """Its text cannot be had, and not even the reason for that is an Exception."""

    def __str__(self):
        raise SystemExit("no text")


class Secretive(Exception):
    """Who formats its traceback gets what is no Exception."""

    @property
    def __notes__(self):
        raise SystemExit("no notes")


class Unpicklable(Exception):
    def __reduce__(self):
        raise KeyboardInterrupt("no pickle")


class Needy(Exception):
    """It can be pickled, but not loaded again."""

    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code


class Deceiver(Exception):
    """What is loaded instead is no exception."""

    def __reduce__(self):
        return str, ("a text",)


class Deep(Exception):
    """Too deep to be pickled."""

    def __init__(self, text):
        super().__init__(text)
        self.nested = nested = []
        for _ in range(sys.getrecursionlimit()):
            nested.append([])
            nested = nested[0]


class Text(str):
    """A text of some library's own class."""


class Quoting(Exception):
    def __str__(self):
        return Text("a text \ud800")


def of_a_local_class():
    class LocalError(Exception):
        pass

    return LocalError("a text")


def with_a_local_class():
    class Local:
        pass

    return ValueError("a text", Local())


def with_a_lock():
    error = ValueError("a text")
    error.lock = Lock()
    return error


# Each returns an exception; by a name for it. These cannot be kept as they are:
REPLACED = {
    "of a local class": of_a_local_class,
    "with an object of a local class": with_a_local_class,
    "with a lock": with_a_lock,
    "that cannot be pickled": lambda: Unpicklable("a text"),
    "that cannot be loaded": lambda: Needy(7, "a text"),
    "that is loaded as something else": lambda: Deceiver("a text"),
    "that is deep": lambda: Deep("a text"),
    "that is large": lambda: ValueError("a text" * 4_000_000),
}
EXCEPTIONS = {
    **REPLACED,
    "without a text": lambda: Mute("a text"),
    "without a traceback": lambda: Secretive("a text"),
    "that UTF-8 cannot encode": lambda: Quoting("a text"),
}


def end_with(name, folder):
    """Change the folder, and raise one of the EXCEPTIONS."""
    folder.title = "not to be seen"
    raise EXCEPTIONS[name]()


def refuse_commit(folder):
    """Let ZODB refuse the commit, with an error that cannot be pickled itself."""
    folder.title = "not to be seen"
    folder.local = of_a_local_class()


def return_local(folder):
    folder.title = "not to be seen"
    return of_a_local_class()


class FileOf:
    """It can be packed; but what is loaded then, an open file, cannot."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return open, (self._path, "rb")


def upload(filename, data):
    """Return a file as the publisher gives it to views."""
    field = SimpleNamespace(
        filename=filename, file=io.BytesIO(data), headers={}, name="file"
    )
    return FileUpload(field)


def accept_text(item):
    """For the items of a batch."""
    if not isinstance(item, str):
        raise ValueError("no text")
