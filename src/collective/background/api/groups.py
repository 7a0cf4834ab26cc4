"""Groups: tasks that belong together, with one progress and one end."""

from collective.background.capture.call import capture_callbacks
from collective.background.model.options import Options
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from dataclasses import field

import secrets


_current = ContextVar("collective.background.group", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group of tasks; ``get_scheduler()`` takes its ``id`` like that of a task.

    ``title``: for people, or None. ``callbacks``: Calls by the state in which the
    whole group has ended.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    title: str | None = None
    callbacks: dict = field(default_factory=dict)


@contextmanager
def group(title=None, on_success=None, on_failure=None, notify=None):
    """Let the tasks that are scheduled in a ``with`` block belong together.

    ``title``: for people. ``on_success``: a function that is called with the
    group's record when all its tasks have succeeded, ``on_failure``: when the last
    one has ended and some have failed; as tasks of their own. ``notify``: ``"mail"``
    sends the user a mail in both cases.

    Yields the Group. Its ``id`` is good for ``record``, ``wait``, ``cancel``,
    ``retry`` and ``remove`` of the scheduler, and for the filter ``group_id`` of
    ``records``. Raises BadOption, and NotPortable for the functions.
    """
    options = Options(
        title=title, on_success=on_success, on_failure=on_failure, notify=notify
    )
    made = Group(title=options.title, callbacks=capture_callbacks(options))
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)


def current_group():
    """Return the Group to which what is scheduled now belongs, or None."""
    return _current.get()
