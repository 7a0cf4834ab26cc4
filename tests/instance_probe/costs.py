"""What a process costs the database, for the benchmarks, which ask a view of it.

Counted where the environment of the process has ``PROBE_COSTS``.
"""

from collections import Counter
from persistent import Persistent
from plone import api
from Products.Five import BrowserView
from threading import Lock
from time import sleep
from transaction import Transaction
from transaction.interfaces import TransientError
from ZODB.Connection import Connection

import json
import os


REST = 0.05  # seconds

_lock = Lock()
_counts = Counter()


def rest(context):
    """A task that waits for somebody else, such as a web service."""
    sleep(REST)


def increment(context):
    """A task that conflicts with all others of its kind."""
    site = api.portal.get()
    site.counted = getattr(site, "counted", 0) + 1


class Counted(Persistent):
    """What one task writes, and no other at the same time."""

    number = 0


def count(context, number):
    """A task that writes one object; ``number``: of which it is the task."""
    counted = api.portal.get().counted_apart
    counted[number % len(counted)].number += 1


class Costs(BrowserView):
    """Answers with what was counted since the process began, as JSON.

    Commits that have written something, transactions that have conflicted, and objects
    that were loaded and stored.
    """

    def __call__(self):
        costs = {"commits": _counts["commits"], "conflicts": _counts["conflicts"]}
        costs.update(loads=0, stores=0)

        def add(connection):
            loads, stores = connection.getTransferCounts()
            costs["loads"] += loads
            costs["stores"] += stores

        self.context._p_jar.db()._connectionMap(add)
        return json.dumps(costs)


def _note(what):
    with _lock:
        _counts[what] += 1


def count_costs():
    finish, commit = Connection.tpc_finish, Transaction.commit

    def tpc_finish(self, transaction):
        _note("commits")
        return finish(self, transaction)

    def commit_or_conflict(self):
        try:
            return commit(self)
        except TransientError:
            _note("conflicts")
            raise

    Connection.tpc_finish = tpc_finish
    Transaction.commit = commit_or_conflict


if "PROBE_COSTS" in os.environ:
    count_costs()
