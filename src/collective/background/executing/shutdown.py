"""The end of the process: what is still running gets a chance to stop in order.

It has to happen in the signal handler. Once that has returned, the server closes
the databases, and only then joins threads: a task could not commit any more.
"""

from collective.background.interfaces import ITransactionalScheduler
from collective.background.model.config import load_settings
from time import monotonic
from zope.component import getGlobalSiteManager

import atexit
import logging
import signal
import threading


logger = logging.getLogger(__name__)

SLICE = 0.2  # seconds until who waits sees that nobody wants to wait any longer

_before_drain = []


class SignalHandler:
    """Drains the scheduler at a signal, then does what was done before.

    A second signal, of whatever kind, ends the waiting.
    """

    def __init__(self):
        self._previous = {}
        self._draining = False
        self.in_a_hurry = False

    def install(self, signum):
        previous = signal.getsignal(signum)
        # Ignored on purpose (nohup, a shell's "&"), or set by something in C.
        if previous in (signal.SIG_IGN, None):
            return
        self._previous[signum] = previous
        signal.signal(signum, self)

    def __call__(self, signum, frame):
        name = signal.Signals(signum).name
        if self._draining:
            # It interrupts the first one, which may hold any lock: so no more than
            # that can be done here, and the first one goes on.
            self.in_a_hurry = True
            logger.warning("%s again: not waiting for tasks any longer", name)
            return
        self._draining = True
        logger.info("%s: waiting for running tasks to stop", name)
        try:
            drain()
        finally:
            self._draining = False
        previous = self._previous[signum]
        if callable(previous):
            previous(signum, frame)
        else:
            # Instead of the default, which ends the process at once: the server
            # closes the databases and lets requests finish.
            raise SystemExit(128 + signum)


_handler = SignalHandler()


class Deadline:
    """Until when the end of the process waits for its tasks.

    ``timeout``: seconds; a second signal ends them.
    """

    def __init__(self, timeout):
        self._end = monotonic() + timeout

    def left(self):
        """Return how many seconds are left."""
        return 0.0 if _handler.in_a_hurry else max(0.0, self._end - monotonic())

    def wait_for(self, condition, is_so):
        """Wait until ``is_so()``, with a Condition that is held, or no longer."""
        while not is_so() and (left := self.left()):
            condition.wait(min(SLICE, left))


def install(event):
    """Called when Zope starts. Scripts have no signal: they drain at their end."""
    settings = load_settings()  # a mistake in them shows now, not with the first task
    atexit.register(drain)
    # Only the main thread may set handlers.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not settings.handle_signals or not in_main_thread:
        return
    for signum in (signal.SIGTERM, signal.SIGINT):
        _handler.install(signum)


def before_drain(function):
    """Let ``function()`` be called before tasks are asked to stop."""
    _before_drain.append(function)


def drain():
    """Drain the process's own scheduler. May be called more than once."""
    for function in _before_drain:
        function()
    scheduler = getGlobalSiteManager().queryUtility(ITransactionalScheduler)
    if scheduler is not None:
        scheduler.drain()
