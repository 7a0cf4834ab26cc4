"""The end of the process: what is still running gets a chance to stop in order.

It has to happen in the signal handler. Once that has returned, the server closes
the databases, and only then joins threads: a task could not commit any more.
"""

from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import process_executor
from collective.background.executing.serving import is_run_by_server
from collective.background.model.forking import in_child

import logging
import signal
import threading


logger = logging.getLogger(__name__)


class SignalHandler:
    """Drains an executor at a signal, then does what was done before.

    A second signal, of whatever kind, ends the waiting. In the child of a fork,
    which has no tasks, it is as if there had never been one.
    """

    def __init__(self, executor):
        self._executor = executor
        self._previous = {}
        self._deadline = None  # of the tasks, while they are waited for
        in_child(self.uninstall)

    def install(self, signum):
        previous = signal.getsignal(signum)
        # Ignored on purpose (nohup, a shell's "&"), or set by something in C.
        if previous in (signal.SIG_IGN, None):
            name = signal.Signals(signum).name
            logger.info("%s is ignored, as who has started this process wanted", name)
            return
        self._previous[signum] = previous
        signal.signal(signum, self)

    def uninstall(self):
        """Let signals be handled as before."""
        for signum, previous in self._previous.items():
            if signal.getsignal(signum) is self:
                signal.signal(signum, previous)

    def __call__(self, signum, frame):
        name = signal.Signals(signum).name
        if self._hurry():
            logger.warning("%s again: not waiting for tasks any longer", name)
            return
        self._deadline = Deadline(self._executor.settings.drain_timeout)
        try:
            logger.info("%s: waiting for running tasks to stop", name)
            self._executor.drain(self._deadline)
        finally:
            self._deadline = None
        previous = self._previous[signum]
        if callable(previous):
            previous(signum, frame)
        else:
            # Instead of the default, which ends the process at once: the server
            # closes the databases and lets requests finish.
            raise SystemExit(128 + signum)

    def _hurry(self):
        """Let nobody wait any longer; return whether somebody does.

        What is interrupted may hold any lock, so that this is all that can be done.
        """
        if self._deadline is not None:
            self._deadline.end()
        return self._executor.hurry() or self._deadline is not None


def handle_signals():
    """Let SIGTERM and SIGINT end all work before the process, if the settings say so.

    For a main program that does nothing else than wait, in its main thread.
    """
    executor = process_executor()
    if executor.settings.handle_signals:
        handler = SignalHandler(executor)
        for signum in (signal.SIGTERM, signal.SIGINT):
            handler.install(signum)


def install(event):
    """Called when Zope has started; handles signals where Zope's own server runs.

    Elsewhere the main thread may be in the middle of a commit when the signal comes,
    with locks that would be waited for; there, tasks are drained at the exit.
    """
    # Only the main thread may set handlers.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and is_run_by_server():
        handle_signals()
