"""A user's own tasks, but for those he has dismissed, with a group as one.

Comes in: nothing but who the current user is. Goes out: TaskRecords. Used by ``tray``
and ``actions``.
"""

from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import TaskNotFound
from collective.background.model.states import FINISHED
from collective.background.model.states import RUNNING
from collective.background.model.states import WAITING
from collective.background.showing.visibility import dismiss_task
from collective.background.showing.visibility import find_visible
from collective.background.showing.visibility import visible_records
from contextlib import suppress
from functools import cache


AT_ONCE = 1_000  # tasks that are dismissed in one request, at the most


def newest_wholes(number):
    """Return the records of the newest tasks and groups, as a list.

    However many there are: ``number`` of tasks are looked at that run, wait or have
    ended, each.
    """
    return wholes(
        record
        for states in (RUNNING, WAITING, FINISHED)
        for record in visible_records(
            states=states, dismissed=False, among=number, limit=None
        )
    )


def dismiss_finished():
    """Do not show any more what has ended; a group only if all of it has."""
    ended = visible_records(states=FINISHED, dismissed=False, among=AT_ONCE, limit=None)
    for record in wholes(ended):
        if record.state in FINISHED:
            # Not if it was forgotten meanwhile, or runs again.
            with suppress(IllegalTransition, TaskNotFound):
                dismiss_task(record.id)


def wholes(records):
    """Return each record once, and one for the tasks of a group, as a list.

    In the order in which they come.
    """
    whole_of = cache(_whole_of)
    found = {}
    for record in records:
        whole = whole_of(record.group_id) or record
        found.setdefault(whole.id, whole)
    return list(found.values())


def _whole_of(group_id):
    """Return the TaskRecord of a group, or of the outermost one in which it is.

    As far as the current user may see them; None, if that is no group.
    """
    record = find_visible([group_id]).get(group_id) if group_id else None
    if record is None:
        return None
    return _whole_of(record.group_id) or record
