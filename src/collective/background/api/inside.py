"""What the code of a task tells and asks: functions that can be called anywhere.

In a task they do what the methods of ``current_task()`` do. Elsewhere, in a request or
a test, nobody is told, and nothing is ever cancelled; but mistakes are errors there,
too. So a function can run as a task, and be called as any other.
"""

from collective.background.model.records import Progress
from collective.background.running.current import current_task
from collective.background.running.current import TaskHandle


class _Nobody:
    """In place of an Execution where there is no task: forgets what it is told."""

    progress = Progress()

    def seconds_left(self, done, total):
        """Nobody would wait for it."""

    def check_cancelled(self):
        """Nobody can have asked for that."""

    def add_messages(self, messages):
        """Nobody would read them."""


def _task():
    return current_task() or TaskHandle(_Nobody())


def track(iterable, total=None):
    """Return an iterator over ``iterable`` that reports progress for each item.

    ``total``: how many there are, if ``len(iterable)`` does not tell.
    Raises TaskCancelled between two items, BadOption for a total that is no number.
    """
    return _task().track(iterable, total)


def progress(done, total=None, message=None):
    """Tell how far the task is, and stop here if it was cancelled.

    ``done``, ``total``: numbers, of any unit; ``total`` and ``message`` (a text, may be
    a Message) stay as they were when they are not given.
    Raises TaskCancelled, BadOption for what is no number.
    """
    _task().progress(done, total, message)


def message(text, type="info"):
    """Leave a message to the user.

    ``text``: may be a Message; what is no text becomes one. ``type``: "info",
    "warning" or "error". Raises BadOption for another type.
    """
    _task().message(text, type)


def check_cancelled():
    """Raise TaskCancelled if somebody has asked the task to stop."""
    _task().check_cancelled()
