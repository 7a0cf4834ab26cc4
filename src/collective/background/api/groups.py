"""Groups: tasks that belong together, with one progress and one end."""

from collective.background.capture.callbacks import capture_callbacks
from collective.background.capture.snapshot import capture_snapshot
from collective.background.exceptions import BadOption
from collective.background.interfaces import ITransactionalScheduler
from collective.background.model.options import Options
from collective.background.scheduling.groups import Group
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from zope.component import getUtility


@dataclass
class _Opened:
    """The Group of a ``with`` block.

    - ``is_ordered``: whether each member is to start after the one before it
    - ``after``: ids after which all that is in it is to start
    - ``members``: (id, more ids to wait for) of each so far. Of a group, which may be
      empty, those are its own predecessors
    """

    group: Group
    is_ordered: bool
    after: tuple
    members: list = field(default_factory=list)

    def predecessors(self):
        """Return the ids after which the next member is to start."""
        return (*self.after, *self._before()) if self.is_ordered else self.after

    def _before(self):
        """Return the ids after which the member behind the last one is to start."""
        scheduler = getUtility(ITransactionalScheduler)
        for id, after in reversed(self.members):
            record = scheduler.record(id)
            # A savepoint may have forgotten it; or it has the unique key, elsewhere.
            if record is not None and record.group_id == self.group.id:
                return (id, *after)
        return ()


_current = ContextVar("collective.background.group", default=None)


@contextmanager
def group(
    title=None,
    on_success=None,
    on_failure=None,
    notify=None,
    *,
    ordered=False,
    user=None,
):
    """Let the tasks that are scheduled in a ``with`` block belong together.

    - ``title``: a text for people
    - ``on_success``: a function that is called with the group's record when all its
      tasks have succeeded, as a task of its own
    - ``on_failure``: the same, when all have ended and not all have succeeded. Of the
      two exactly one is called, unless somebody has cancelled all tasks
    - ``notify``: ``"mail"`` sends the user a mail in both cases
    - ``ordered``: let each task start when the one before it has succeeded, as with
      ``after``; else they run in any order
    - ``user``: the id of the user who has the group, instead of the current one. For
      trusted code only. It says nothing of who the tasks run as

    Yields the Group. Its ``id`` is good for ``record``, ``wait``, ``cancel``,
    ``retry``, ``remove``, ``peek_result`` and ``get_result`` of the scheduler, for the
    filter ``group_id`` of ``records``, and for the option ``after``. A group that is
    opened in another one is a member of that. One without members has succeeded when
    the transaction commits.

    Raises BadOption, NotPortable for the functions, NoTransaction.
    """
    options = Options(
        title=title, on_success=on_success, on_failure=on_failure, notify=notify
    )
    if callable(title):
        raise BadOption(f"title is {title!r}; that of a group must be a text")
    outer = _current.get()
    made = Group(
        title=options.title,
        callbacks=capture_callbacks(options),
        snapshot=capture_snapshot(user, with_form=False),
        parent=None if outer is None else outer.group,
    )
    after = () if outer is None else outer.predecessors()
    getUtility(ITransactionalScheduler).add_group(made)
    if outer is not None:
        outer.members.append((made.id, after))
    token = _current.set(_Opened(made, ordered, after))
    try:
        yield made
    finally:
        _current.reset(token)


def current_group():
    """Return the Group to which what is scheduled now belongs, or None."""
    opened = _current.get()
    return None if opened is None else opened.group


def in_order(options):
    """Return Options with which a task starts when it is its turn in the group."""
    opened = _current.get()
    before = () if opened is None else opened.predecessors()
    return replace(options, after=(*options.after, *before)) if before else options


def note_member(id):
    """What was scheduled is a member of the current group; return its id."""
    opened = _current.get()
    if opened is not None and opened.is_ordered:
        opened.members.append((id, ()))
    return id
