"""What the soak test lets run in instances: see ``tests/soak``.

Each attempt at a task does something in the database, which is undone unless it is
committed, and writes lines into a file, which nobody undoes.
"""

from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from collective.background import current_task
from collective.background.model.outages import is_outage
from OFS.SimpleItem import SimpleItem
from persistent import Persistent
from plone import api
from threading import Event
from time import monotonic
from time import time
from transaction.interfaces import IDataManager
from transaction.interfaces import TransientError
from zope.interface import implementer

import json
import os
import secrets
import transaction


LINES = "lines"  # the file, in a folder for what is outside of the database
LOOK = 0.05  # seconds between two cancellation points


class Effects(Persistent):
    """What the attempts of one mark have left in the database.

    Two of them that are committed at the same time do not conflict: the package is to
    prevent that, and not the ZODB.
    """

    def __init__(self):
        self.things = OOBTree({"": None})
        self.count = Length()

    def add(self, name):
        thing = self.things[name] = SimpleItem()
        thing.id = name
        self.count.change(1)

    def numbers(self):
        """Return how many things there are, and how often was counted."""
        return len(self.things) - 1, self.count()


@implementer(IDataManager)
class Attempt:
    """Tells a file what becomes of an attempt; a data manager that stores nothing.

    ``mark``: of what is done; ``folder``: that of the file. A line is a JSON object:

    - ``mark``; ``attempt``: a token; ``pid``: of the process; ``at``: time stamp
    - ``event``: "begun", "raised" (by the code of the task, with the name of the
      exception as ``error`` and ``is_transient``), "committed" or "undone"
    """

    transaction_manager = transaction.manager

    def __init__(self, mark, folder):
        self.token = secrets.token_hex(8)
        self._mark = mark
        self._path = os.path.join(folder, LINES)
        self._has_ended = False
        self._tell("begun")
        transaction.get().join(self)

    def _tell(self, event, **more):
        line = {
            "mark": self._mark,
            "attempt": self.token,
            "pid": os.getpid(),
            "at": time(),
            "event": event,
            **more,
        }
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            # One write, so lines of several processes do not mix.
            os.write(file, f"{json.dumps(line)}\n".encode())
        finally:
            os.close(file)

    def raised(self, error):
        # A driver of RelStorage says in its own words that the database is away.
        is_transient = isinstance(error, TransientError) or is_outage(error)
        self._tell("raised", error=type(error).__name__, is_transient=is_transient)

    def _end(self, event):
        # A transaction that is refused tells of it more than once.
        if not self._has_ended:
            self._has_ended = True
            self._tell(event)

    def sortKey(self):
        return "~~~~"  # after all others

    def savepoint(self):
        return self

    def rollback(self):
        """Nothing was stored."""

    def _nothing(self, transaction):
        """Nothing to do."""

    tpc_begin = commit = tpc_vote = _nothing

    def tpc_finish(self, transaction):
        self._end("committed")

    def abort(self, transaction):
        self._end("undone")

    tpc_abort = abort


class Failure(Exception):
    """An attempt was to fail."""


def work(mark, folder, seconds=0.0, failures=0, looks=False):
    """Leave an effect.

    ``folder``: for lines; ``seconds``: how long that takes; ``failures``: how many
    attempts are to fail; ``looks``: whether it can be cancelled meanwhile.
    """
    attempt = Attempt(mark, folder)
    try:
        api.portal.get().soak[mark].add(attempt.token)
        _take_time(seconds, looks)
        if not _have_failed(mark, folder, failures):
            raise Failure(mark)
    except BaseException as error:
        attempt.raised(error)
        raise


def _take_time(seconds, looks):
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        Event().wait(min(left, LOOK))
        if looks:
            current_task().check_cancelled()


def _have_failed(mark, folder, failures):
    """Whether so many attempts have failed already; if not, this one is counted."""
    for number in range(failures):
        try:
            open(os.path.join(folder, f"{mark} failure {number}"), "x").close()
        except FileExistsError:
            continue
        return False
    return True


def work_on_item(item, mark, folder, **options):
    """Do the same for an item of a batch, which has a mark of its own."""
    work(mark_of_item(mark, item), folder, **options)


def tell(record):
    """The callback of a task, or of a group: leave an effect."""
    mark = mark_of_callback(record.title)
    work(mark, api.portal.get().soak[""])


def mark_of_item(mark, item):
    """Return the mark of an item of a batch; ``mark``: of the batch."""
    return f"{mark} item {item}"


def mark_of_callback(mark):
    """Return the mark of a callback; ``mark``: of what it tells about."""
    return f"{mark} told"
