"""What a running task tells: its title, progress, messages and log.

Written once a second at the most by the instance on which it runs; or by the one which
receives what a worker elsewhere reports. Of the log only what is new is written: the
last lines are in parts, of which the full ones do not change any more.
"""

from collective.background.database.values import load_message
from collective.background.database.values import load_progress
from collective.background.database.values import load_text
from collective.background.database.values import store_message
from collective.background.database.values import store_progress
from collective.background.database.values import store_text
from collective.background.executing.stacks import Stack
from collective.background.model.records import Progress
from collective.background.scheduling.execution import MAX_MESSAGES
from collective.background.scheduling.task import LOG_LINES
from dataclasses import replace
from persistent import Persistent


VERSION = 1
PART = 20  # lines of a part


class Lines(Persistent):
    """A part of a log. ``lines``: a tuple of texts."""

    def __init__(self, lines):
        self.version = VERSION
        self.lines = lines


class Report(Persistent):
    """What is known of a running task. ``read``: how many lines its log has had."""

    _title = _progress = None
    _messages = ()
    _parts = ()
    _stack = None
    read = 0

    def __init__(self):
        self.version = VERSION

    def tell(self, task, told):
        """Note what is new of ``task``, a Task; return what is told now.

        ``told``: what this has returned the last time, or None.
        """
        now = _told_by(task)
        if now == told:
            return told
        title, progress, messages, count = now
        if told is None or title != told[0]:
            self._title = store_text(title)
        if told is None or progress != told[1]:
            self._progress = store_progress(progress)
        if told is None or messages != told[2]:
            self._messages = tuple(map(store_message, messages))
        if count > self.read:
            self._add(list(task.log)[-(count - self.read) :])
            self.read = count
        return now

    def add(self, told):
        """Note what an ExternalReport says."""
        if told.title is not None:
            self._title = store_text(told.title)
        if told.progress:
            progress = replace(load_progress(self._progress), **told.progress)
            self._progress = store_progress(progress)
        if told.messages:
            messages = (*self._messages, *map(store_message, told.messages))
            self._messages = messages[-MAX_MESSAGES:]
        if told.log:
            self._add(list(told.log))
            self.read += len(told.log)

    def _add(self, lines):
        parts = list(self._parts)
        while lines:
            if not parts or len(parts[-1].lines) >= PART:
                parts.append(Lines(()))
            last = parts[-1]
            room = PART - len(last.lines)
            last.lines, lines = (*last.lines, *lines[:room]), lines[room:]
        self._parts = tuple(parts[-(LOG_LINES // PART + 1) :])

    def values(self):
        """Return title (or None), progress, messages and log, by these names."""
        log = [line for part in self._parts for line in part.lines]
        return {
            "title": load_text(self._title),
            "progress": load_progress(self._progress),
            "messages": tuple(map(load_message, self._messages)),
            "log": tuple(log[-LOG_LINES:]),
        }

    @property
    def stack(self):
        """What was last asked for: the Stack of the task's thread, or None."""
        if self._stack is None:
            return None
        text, taken = self._stack
        return Stack(text=text, taken=taken)

    def show(self, stack):
        """Keep a Stack, until there is another one or the task ends."""
        self._stack = stack.text, stack.taken

    def forget_stack(self):
        if self._stack is not None:
            self._stack = None

    def forget_messages(self):
        self._messages = ()

    def forget_progress(self):
        self._progress = None


def _told_by(task):
    """Return (title, progress, messages, number of lines so far) of a Task."""
    return task.options.title, task.progress, tuple(task.messages), task.lines


def has_told(task):
    """Whether there is anything of a Task that is worth a Report."""
    return bool(task.lines or task.messages or task.progress != Progress())
