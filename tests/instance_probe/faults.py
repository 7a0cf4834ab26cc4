"""Points at which the process is killed, if a test has asked for it.

By ``ask()``, or by a file of that name in the folder ``PROBE_FAULTS`` of the
environment: the first process that finds it takes it away, and is killed. They are
reached from outside of the package: by subscribers, by the tasks and views of the
tests, and by data managers that these let join a transaction. Points are:

- ``request-voted``: a task is scheduled, all have voted for the commit
- ``request-committed``: the database has committed that, and nobody was told yet
- ``started``: of a task, before its first line
- ``running``: its last line is done
- ``item-<n>``: the same, for an item of a batch
- ``task-voted``, ``task-committed``: the same, for the transaction of the task
- ``succeeded``: the task has ended
"""

from transaction.interfaces import IDataManager
from zope.interface import implementer

import os
import signal
import transaction


_asked = set()
_folder = os.environ.get("PROBE_FAULTS")


def ask(point):
    """Let the process be killed at a point, from now on."""
    _asked.add(point)


def reach(point):
    """Tell that a point is reached."""
    if point in _asked or _is_first(point):
        os.kill(os.getpid(), signal.SIGKILL)


def _is_first(point):
    if point is None or _folder is None:
        return False
    try:
        os.unlink(os.path.join(_folder, point))
    except FileNotFoundError:
        return False
    return True


def watch_commit(name):
    """Reach ``<name>-voted`` and ``<name>-committed`` in the current transaction."""
    current = transaction.get()
    # Texts: "~" comes after the ZODB, and before the package; the other at the end.
    current.join(_Watcher("~", finished=f"{name}-committed"))
    current.join(_Watcher("~~~", voted=f"{name}-voted"))


@implementer(IDataManager)
class _Watcher:
    """A data manager that stores nothing; ``voted`` and ``finished`` are points."""

    transaction_manager = transaction.manager

    def __init__(self, sort_key, voted=None, finished=None):
        self._sort_key = sort_key
        self._voted = voted
        self._finished = finished

    def sortKey(self):
        return self._sort_key

    def savepoint(self):
        return self

    def rollback(self):
        """Nothing was stored."""

    def tpc_vote(self, transaction):
        reach(self._voted)

    def tpc_finish(self, transaction):
        reach(self._finished)

    def _nothing(self, transaction):
        """Nothing to do."""

    abort = tpc_begin = commit = tpc_abort = _nothing


def task_started(event):
    reach("started")


def task_succeeded(event):
    reach("succeeded")
