"""Groups: what is the same of them wherever tasks are kept.

The members of a group are tasks, and the groups that were opened in it. It has an owner
of its own: who has opened it; its tasks may run as others.
"""

from collective.background.capture.snapshot import Snapshot
from collective.background.exceptions import GroupFailed
from collective.background.model import states
from collective.background.model.config import DEFAULT_QUEUE
from collective.background.model.messages import _
from collective.background.model.records import ErrorInfo
from collective.background.model.records import Progress
from collective.background.model.records import TaskRecord
from collective.background.scheduling.endings import state_of
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from datetime import UTC
from zope.i18n import translate
from zope.i18nmessageid import Message

import secrets


KIND = "group"

# What a group has of its first task, if that is its owner's; and without one.
OF_THE_FIRST = {
    "title": "collective.background.group",
    "callable": "collective.background.group",
    "queue": DEFAULT_QUEUE,
    "priority": 0,
    "context_path": None,
    "context_uid": None,
}

_GROUP_FAILED = f"{GroupFailed.__module__}.{GroupFailed.__qualname__}"
_WORDS = {
    states.FAILED: "failed",
    states.LOST: "were lost",
    states.CANCELLED: "were cancelled",
}
_PUBLIC = {
    states.FAILED: _("${number} of ${all} tasks have failed."),
    states.LOST: _("${number} of ${all} tasks were lost."),
    states.CANCELLED: _("${number} of ${all} tasks were cancelled."),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group of tasks; ``get_scheduler()`` takes its ``id`` like that of a task.

    - ``title``: for people, or None
    - ``callbacks``: Calls by ``SUCCEEDED`` or ``FAILED``, see ``endings.told_as``
    - ``snapshot``: the environment in which it was opened, without a form
    - ``parent``: the Group in which it was opened, or None
    - ``created``: when, aware, UTC
    """

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    title: str | None = None
    callbacks: dict = field(default_factory=dict)
    snapshot: Snapshot
    parent: "Group | None" = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def parent_id(self):
        """The id of the group of which it is a member, or None."""
        return None if self.parent is None else self.parent.id

    @property
    def line(self):
        """It, the group of which it is a member, and so on: a list."""
        group, found = self, []
        while group is not None:
            found.append(group)
            group = group.parent
        return found


def is_of(user, member):
    """Whether a task or a group is that of a user, a UserReference."""
    return (member.user_id, member.user_path) == (user.id, user.folder)


def first_of(user, task):
    """Return what the group of a user has of its first task, see ``OF_THE_FIRST``."""
    if not is_of(user, task):
        return dict(OF_THE_FIRST)
    return {name: getattr(task, name) for name in OF_THE_FIRST}


def record_of_whole(whole, *, cancel_requested):
    """Return the TaskRecord of a group.

    ``cancel_requested``: whether all or some of it was asked to stop. ``whole``: has
    of the record what is its own, and

    - ``own_title``: or None; ``user``: a UserReference of its owner
    - ``first``: see ``first_of``
    - ``standing``: its ending, or its state until then
    - ``counts``: {ending: how many of its members have ended like that}, ``total``: how
      many there are, both also of those that were forgotten
    - ``first_error(state)``: (title, ErrorInfo) of the first one of its owner that has
      ended in that state, or None
    """
    state = state_of(whole.standing)
    return TaskRecord(
        **{
            **whole.first,
            "title": whole.own_title or whole.first["title"],
            "id": whole.id,
            "kind": KIND,
            "state": state,
            "group_id": whole.group_id,
            "user_id": whole.user.id,
            "user_path": whole.user.folder,
            "site_path": whole.site_path,
            "created": whole.created,
            "started": whole.started,
            "finished": whole.finished,
            "attempts": 1 if whole.started else 0,
            "dismissed": whole.dismissed,
            "cancel_requested": cancel_requested,
            "progress": Progress(done=sum(whole.counts.values()), total=whole.total),
            "error": _error_of(whole, state) if state in _WORDS else None,
        }
    )


def _error_of(whole, state):
    """Return the ErrorInfo of a group that has not succeeded."""
    number = sum(
        count for ending, count in whole.counts.items() if state_of(ending) == state
    )
    message = f"{number} of {whole.total} {_WORDS[state]}"
    first = whole.first_error(state)
    public = Message(_PUBLIC[state], mapping={"number": number, "all": whole.total})
    if first is None:
        return ErrorInfo(
            type=_GROUP_FAILED, message=message, traceback="", public=public
        )
    title, error = first
    if error.public_text:
        values = {"what": public, "title": title, "error": error.public_text}
        public = _("${what} The first one, “${title}”: ${error}", mapping=values)
    return ErrorInfo(
        type=_GROUP_FAILED,
        message=f"{message}; the first one, {translate(title)!r}: {error.message}",
        traceback=error.traceback,
        id=error.id,
        public=public,
    )
