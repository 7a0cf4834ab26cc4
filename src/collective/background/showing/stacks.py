"""What a running task does at this moment, for who may see what is inside of it."""

from AccessControl import Unauthorized
from collective.background.api.scheduling import get_scheduler
from collective.background.model import states
from collective.background.showing.rights import may_manage
from collective.background.showing.visibility import is_trusted
from collective.background.showing.visibility import visible_record


def may_see_stack(record):
    """Whether the current user may see the stack of a task: a TaskRecord he may see."""
    return may_manage() and is_trusted(record)


def task_stack(id):
    """Return the Stack of a running task, or None: not known, or not for this user.

    Of one in another process it is that of when it was asked for last. Raises
    TaskNotFound.
    """
    record = visible_record(id)
    is_shown = record.state == states.RUNNING and may_see_stack(record)
    return get_scheduler().stack(id) if is_shown else None


def ask_for_stack(id):
    """Let the process in which a task runs tell what it does, once.

    Raises TaskNotFound, Unauthorized.
    """
    if not may_see_stack(visible_record(id)):
        raise Unauthorized("only who may see inside of a task may ask what it does")
    get_scheduler().ask_for_stack(id)
