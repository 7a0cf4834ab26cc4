"""A task of Plone, as its worker sees it."""

from collective.background.client.reports import delay
from collective.background.client.reports import Reports
from math import isfinite
from threading import Condition
from threading import current_thread
from threading import Thread
from traceback import format_exception

import os
import socket
import sys


PACE = 1.0  # seconds between two reports, at the least
BEATS = 4  # reports in the time of the silence that is allowed
PATIENCE = 3600.0  # seconds for which Plone may be away
KEPT = 200  # lines and messages until the next report; the newest
TRACEBACK_LENGTH = 20_000  # characters


class Stopped(Exception):
    """Plone does not want the task any more: it was cancelled, or has ended.

    Raised at the next call that reports something.
    """


class TaskFailed(Exception):
    """Raised inside a task to let it fail, with a text for its user."""


class BackgroundTask:
    """A context manager; in its block the task runs.

    ``url``, ``token``: as the message has them; ``patience``: seconds for which Plone
    may be away before the first and the last report are given up; ``celery``: the task
    of Celery that works on it, or None.

    A thread tells Plone what is new, and that the worker is alive. At the end of the
    block the task has succeeded, with ``result`` (what JSON knows); or it has failed
    with the exception, which goes on to the caller. With what Celery raises in order to
    run a message again it goes on.
    Raises Stopped at the beginning if Plone does not want it any more.
    """

    result = None

    def __init__(self, url, token, *, patience=PATIENCE, celery=None):
        self.celery = celery
        self._reports = Reports(url, token, patience)
        self._changed = Condition()
        self._news = {}
        self._unanswered = None  # a report that may not have arrived
        self._is_over = False
        self._thread = Thread(
            target=self._go_on, name="background-reports", daemon=True
        )

    # For the code of the task.

    def progress(self, done, total=None, message=None):
        """Tell how far it is: numbers of any unit, and a text. Raises Stopped.

        What is None stays as it was. Raises TypeError or ValueError for what is no
        number.
        """
        told = {"done": _number(done)}
        if total is not None:
            told["total"] = _number(total)
        if message is not None:
            told["message"] = str(message)
        with self._changed:
            self._news["progress"] = {**self._news.get("progress", {}), **told}
            self._changed.notify_all()
        self.check_cancelled()

    def message(self, text, type="info"):
        """Leave a message to the user; ``type``: "info", "warning" or "error"."""
        self._add("messages", {"text": str(text), "type": type})

    def log(self, line):
        """Leave a line in the log of the task, which managers see."""
        self._add("log", str(line))

    def check_cancelled(self):
        """Raise Stopped if Plone does not want the task any more."""
        if self._reports.is_unwanted:
            raise Stopped("Plone does not want this task any more")

    def _add(self, name, value):
        with self._changed:
            kept = [*self._news.get(name, ()), value]
            self._news[name] = kept[-KEPT:]
            self._changed.notify_all()

    # Its life.

    def __enter__(self):
        worker = f"{socket.gethostname()}:{os.getpid()}:{current_thread().name}"
        self._reports.insist(self._reports.make(state="running", worker=worker))
        self.check_cancelled()
        self._thread.start()
        return self

    def __exit__(self, cls, error, traceback):
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._thread.join()
        if error is not None and not isinstance(error, Exception):
            self._reports.patience = 0.0  # the process is to end
        if self._unanswered is not None:
            self._reports.insist(self._unanswered)
        if error is None:
            self._end(state="succeeded", result=self.result)
        elif isinstance(error, Stopped):
            self._end(state="cancelled")
        elif isinstance(error, _of_celery()):
            self._reports.insist(self._report())
        else:
            self._end(state="failed", error=_described(error))
        self._reports.close()

    def _end(self, **last):
        """Tell how it has ended; if Plone cannot take that, that it has failed."""
        reason = "Plone does not take it, see the log of the worker"
        try:
            is_taken = self._reports.insist(self._report(**last))
        except (TypeError, ValueError) as error:  # of what is no JSON
            is_taken, reason = False, str(error)
        if not is_taken:
            error = {"message": f"its end could not be reported: {reason}"}
            self._reports.insist(self._reports.make(state="failed", error=error))

    def _report(self, **more):
        with self._changed:
            news, self._news = self._news, {}
        return self._reports.make(**news, **more)

    def _go_on(self):
        """What the thread does: a report for all that is new, and signs of life."""
        failures = 0
        while self._wait(failures):
            self._unanswered = self._unanswered or self._report()
            if self._reports.send(self._unanswered) is None:
                failures += 1
            else:
                self._unanswered, failures = None, 0

    def _wait(self, failures):
        """Wait until it is time for a report; return False if the task is over."""
        with self._changed:
            if failures:
                self._changed.wait_for(lambda: self._is_over, delay(failures))
            else:
                self._changed.wait_for(lambda: self._is_over, PACE)
                self._changed.wait_for(
                    lambda: self._is_over or self._news, self._reports.silence / BEATS
                )
            return not self._is_over


def _number(value):
    """Return a number that JSON knows. Raises TypeError, ValueError."""
    if isinstance(value, int):
        return value
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{value!r} is no number that JSON knows")
    return number


def _described(error):
    cls = type(error)
    text = "".join(format_exception(error))
    described = {
        "type": f"{cls.__module__}.{cls.__qualname__}",
        "message": str(error),
        "traceback": text[-TRACEBACK_LENGTH:],
    }
    if isinstance(error, TaskFailed):
        described["public"] = str(error)
    return described


def _of_celery():
    """Return the exceptions by which Celery runs a message again, a tuple."""
    module = sys.modules.get("celery.exceptions")
    return () if module is None else (module.Retry, module.Reject, module.Ignore)
