"""A script that gets a signal, whose name it is told, in the midst of a commit.

It has tasks already: one that runs, one that waits, and one that is committed.
"""

from collective.background import schedule
from instance_probe.tasks import write
from threading import Event
from zope.component.hooks import setSite

import os
import signal
import transaction


begun = Event()


def hang():
    begun.set()
    Event().wait()


class Interrupter:
    """A data manager in whose vote the signal comes."""

    transaction_manager = transaction.manager

    def sortKey(self):
        return "~~~~"  # when all others have voted, and hold their locks

    def tpc_vote(self, transaction):
        signal.raise_signal(getattr(signal, os.environ["PROBE_SIGNAL"]))

    def _nothing(self, transaction):
        """Nothing to do."""

    abort = tpc_begin = commit = tpc_finish = tpc_abort = _nothing


site = app.Plone  # noqa: F821 (zconsole has set it)
setSite(site)
schedule(hang)
schedule(write, site, "waiting")
transaction.commit()
assert begun.wait(60)
schedule(write, site, "committed")
site.title = "changed"
transaction.get().join(Interrupter())
transaction.commit()
