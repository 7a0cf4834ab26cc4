"""``current_task()``: the task that the running code belongs to.

The runner sets it for the time of a run; the code of add-ons, and the handler
that keeps the log of a task, ask for it.
"""

from collective.background.exceptions import BadOption
from collective.background.model.messages import portable_line
from collective.background.model.messages import portable_text
from collective.background.model.numbers import LARGEST
from collective.background.model.numbers import plain_number
from collective.background.model.records import Progress
from collective.background.model.records import TaskMessage
from contextlib import contextmanager

import logging
import threading


MESSAGE_TYPES = ("info", "warning", "error")
LOG_LINE_LENGTH = 1000  # characters

_local = threading.local()


class TaskHandle:
    """What code that runs as a task can ask and tell.

    ``id``: the id of the task.
    """

    def __init__(self, execution):
        self._execution = execution

    @property
    def id(self):
        return self._execution.id

    @property
    def title(self):
        """The title for people; may be set, when the task knows a better one."""
        return self._execution.title

    @title.setter
    def title(self, value):
        if not isinstance(value, str) or not value:
            raise BadOption(f"title is {value!r}; it must be a text")
        self._execution.title = value

    def progress(self, done, total=None, message=None):
        """Tell how far the task is, and stop here if it was cancelled.

        ``done``, ``total``: numbers, of any unit; ``total`` and ``message`` (a text,
        may be a Message) stay as they were when they are not given.
        Raises TaskCancelled, BadOption for what is no number.
        """
        self.check_cancelled()
        before = self._execution.progress
        done = _number("done", done)
        total = before.total if total is None else _number("total", total)
        self._execution.progress = Progress(
            done=done,
            total=total,
            message=before.message if message is None else portable_text(message),
            failed=before.failed,
            seconds_left=self._execution.seconds_left(done, total),
        )

    def track(self, iterable, total=None):
        """Yield the items of ``iterable``, and report progress for each.

        ``total``: how many there are, if ``len(iterable)`` does not tell.
        Raises TaskCancelled between two items.
        """
        if total is None and hasattr(iterable, "__len__"):
            total = len(iterable)
        self.progress(0, total)
        for done, item in enumerate(iterable, 1):
            yield item
            self.progress(done, total)

    def check_cancelled(self):
        """Raise TaskCancelled if somebody has asked the task to stop."""
        self._execution.check_cancelled()

    def message(self, text, type="info"):
        """Leave a message to the user.

        ``text``: may be a Message; what is no text becomes one. ``type``: "info",
        "warning" or "error". Raises BadOption for another type.
        """
        if type not in MESSAGE_TYPES:
            raise BadOption(
                f"type is {type!r}; it must be one of {', '.join(MESSAGE_TYPES)}"
            )
        message = TaskMessage(text=portable_text(text), type=str.__str__(type))
        self._execution.add_messages([message])


def _number(name, value):
    number = plain_number(value)
    if number is None:
        raise BadOption(
            f"{name} is {value!r}; it must be a number of at most {LARGEST:.0e}"
        )
    return number


def current_task():
    """Return the TaskHandle of the running task; outside of tasks None."""
    execution = _current_execution()
    return None if execution is None else TaskHandle(execution)


def _current_execution():
    return getattr(_local, "execution", None)


@contextmanager
def running(execution):
    """Make ``execution`` the current task of this thread."""
    before = _current_execution()
    _local.execution = execution
    try:
        yield
    finally:
        _local.execution = before


class TaskLogHandler(logging.Handler):
    """Keeps what the code of a task logs with the task.

    It is added to the root logger, so what reaches it is what reaches the
    site's log as well.
    """

    def emit(self, record):
        # Where logging is not configured, as in scripts, Python shows warnings
        # itself; but not once the root logger has a handler, which is this one.
        last = logging.lastResort
        is_alone = logging.getLogger().handlers == [self]
        if is_alone and last is not None and record.levelno >= last.level:
            last.handle(record)
        execution = _current_execution()
        if execution is None:
            return
        try:
            text = f"{record.levelname} {record.name} {record.getMessage()}"
            execution.add_log_line(portable_line(text, LOG_LINE_LENGTH))
        except Exception:
            self.handleError(record)


_log_handler = TaskLogHandler()


def keep_log_lines():
    """Let what tasks log be kept with them. May be called for every task."""
    # Not once and for all: tests and set-ups of logging take handlers away.
    logging.getLogger().addHandler(_log_handler)
