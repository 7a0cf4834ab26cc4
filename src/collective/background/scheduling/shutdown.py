"""The end of the process: what is still running gets a chance to stop in order.

It has to happen in the signal handler. Once that has returned, the server closes
the databases, and only then joins threads: a task could not commit any more.
"""

from collective.background.interfaces import ITransactionalScheduler
from zope.component import getGlobalSiteManager

import atexit
import logging
import signal
import threading


logger = logging.getLogger(__name__)


class DrainHandler:
    """Handles a signal: drains the scheduler, then does what was done before.

    ``previous``: the handler before this one.
    """

    def __init__(self, previous):
        self._previous = previous
        self._draining = False

    def __call__(self, signum, frame):
        # A second signal does not wait once more.
        if not self._draining:
            self._draining = True
            logger.info("%s: draining", signal.Signals(signum).name)
            drain()
        if callable(self._previous):
            self._previous(signum, frame)
        else:
            # Instead of the default, which ends the process at once: the server
            # closes the databases and lets requests finish.
            raise SystemExit(128 + signum)


def install(event):
    """Called when Zope starts. Scripts have no signal: they drain at their end."""
    atexit.register(drain)
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may set handlers
    for signum in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(signum)
        # Ignored on purpose (nohup, a shell's "&"), or set by something in C.
        if previous in (signal.SIG_IGN, None):
            continue
        signal.signal(signum, DrainHandler(previous))


def drain():
    """Drain the process's own scheduler. May be called more than once."""
    scheduler = getGlobalSiteManager().queryUtility(ITransactionalScheduler)
    if scheduler is not None:
        scheduler.drain()
