"""What tests share: running tasks in real threads, and looking at their end."""

from AccessControl import getSecurityManager
from Acquisition import aq_base
from collective.background import get_scheduler
from collective.background.interfaces import ITaskSucceeded
from collective.background.model import files
from contextlib import contextmanager
from plone import api
from threading import Condition
from threading import Semaphore
from transaction.interfaces import TransientError
from zope.component.hooks import getSite

import os
import pytest
import transaction


TIMEOUT = 60  # seconds; far more than a test's task takes
PASSWORD = "a secret of tests"  # of every user


def add_users(container, users):
    """Add users, with their roles, to the user folder of a container; and commit.

    ``users``: lists of roles by the id of the user; all are members as well.
    """
    for user_id, roles in users.items():
        roles = ["Member", *roles]
        container.acl_users.userFolderAddUser(user_id, PASSWORD, roles, [])
    transaction.commit()


def finished(task_id):
    """Commit, wait until the task has ended and return its record."""
    transaction.commit()
    record = get_scheduler().wait(task_id, TIMEOUT)
    transaction.begin()
    return record


def result_of(task_id):
    """Commit, wait, and return what the task returned or raise what it raised."""
    finished(task_id)
    result, exception = get_scheduler().get_result(task_id)
    if exception is not None:
        raise exception
    return result


def failure_of(task_id):
    """Commit, wait, and return the record of a failed task and its result, if any."""
    record = finished(task_id)
    assert record.state == "failed", record
    result, _ = get_scheduler().get_result(task_id)
    return record, result


def body_of(task_id):
    """Commit, wait, and return the text with which a view or a server answered."""
    return result_of(task_id).body.decode()


def needed(found, what):
    """Return what was found. Without it skip the test; or fail, with ``CI=true``."""
    if found:
        return found
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs {what}")


def open_files():
    """How many file descriptors the process has."""
    return len(os.listdir("/dev/fd"))


def kept_files():
    """Return the names of the temporary files of tasks, a set.

    Those of earlier tests go whenever the last reference to them does.
    """
    return set(os.listdir(files.folder()))


@contextmanager
def waiting():
    """Let no task of the usual queue start before the end of the block."""
    get_scheduler().pause("default")
    try:
        yield
    finally:
        get_scheduler().resume("default")


def jar_of(obj):
    """Return what tells the connection of a persistent object from others."""
    return id(aq_base(obj)._p_jar)


def task_jar():
    """Return the same for the connection of the running task."""
    return jar_of(api.portal.get())


class TellingCondition(Condition):
    """Tells when somebody waits, who is held back from then on until it is notified."""

    def __init__(self):
        super().__init__()
        self._waits = Semaphore(0)

    def wait(self, timeout=None):
        self._waits.release()
        return super().wait(timeout)

    def is_waited_for(self, times=1):
        """Wait until somebody has begun to wait, so many times since the last call."""
        for _ in range(times):
            assert self._waits.acquire(timeout=TIMEOUT)


class Voter:
    """Somebody else's data manager: calls ``vote()`` before the commit is final."""

    transaction_manager = transaction.manager

    def __init__(self, vote, sort_key="a"):
        self._vote = vote
        self._sort_key = sort_key

    def sortKey(self):
        return self._sort_key

    def tpc_vote(self, transaction):
        self._vote()

    def _nothing(self, transaction):
        """Nothing to do."""

    abort = tpc_begin = commit = tpc_finish = tpc_abort = _nothing


class InDoubt(Voter):
    """Lets the connection be lost when the database has committed already."""

    def __init__(self):
        super().__init__(lambda: None, sort_key="~lost")

    def tpc_finish(self, transaction):
        raise TransientError("simulated: the answer was lost")


def note_where_they_are(subscribe):
    """Return a list, to which subscribers to ITaskSucceeded add where they are.

    That is the path of the site, the id of the user and the result of the task.
    """
    seen = []

    def note(event):
        site = getSite()
        path = site and "/".join(site.getPhysicalPath())
        result = get_scheduler().peek_result(event.record.id)
        seen.append((path, getSecurityManager().getUser().getUserName(), result))

    subscribe(ITaskSucceeded, note)
    return seen


# Tasks whose results only look like JSON, NO_JSON below.


def contain_itself():
    value = []
    value.append(value)
    return value


def be_no_number():
    return {"mean": float("nan")}


def have_many_digits():
    return 10**5000  # Python makes no texts of such numbers


NO_JSON = [contain_itself, have_many_digits, be_no_number]


def make_room_for_blobs(site):
    """Let the storage of a test have room for blobs.

    It would get that with the first one, and two threads must not do so at once
    (ZODB.DemoStorage).
    """
    site._p_jar.db().storage.temporaryDirectory()
