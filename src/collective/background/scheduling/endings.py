"""Endings: what has become of tasks and groups, as those are told who wait for it.

An ending is the state in which something has ended. Only of what is cancelled it is
told apart whether somebody has wanted that; else it was given up.
"""

from collective.background.exceptions import PredecessorFailed
from collective.background.model import states


GIVEN_UP = "given up"

# What the whole is, once all have ended: the first of these that one of them is.
WORST_FIRST = (
    *(states.FAILED, states.LOST, GIVEN_UP),
    *(states.CANCELLED, states.SUCCEEDED),
)
_GIVEN_UP_BY = f"{PredecessorFailed.__module__}.{PredecessorFailed.__qualname__}"


def standing_of(task):
    """Return the ending of a task, or its state until then.

    ``task``: has ``state`` and ``error`` as a TaskRecord has them.
    """
    if task.state == states.CANCELLED and task.error.type == _GIVEN_UP_BY:
        return GIVEN_UP
    return task.state


def ending_of_whole(found):
    """Return the ending of a group whose members have these endings, a set."""
    if not found:
        return states.SUCCEEDED
    worst = next(ending for ending in WORST_FIRST if ending in found)
    if worst == states.CANCELLED and found != {states.CANCELLED}:
        return GIVEN_UP  # nobody has wanted that of all
    return worst


def state_of(standing):
    """Return the state of what has this ending, or this state."""
    return states.CANCELLED if standing == GIVEN_UP else standing


def told_as(ending):
    """Return by which state the callbacks are kept that are called at an ending.

    That is ``SUCCEEDED``, or ``FAILED`` for all that has come to nothing; None for what
    somebody has cancelled, who need not be told.
    """
    if ending == states.CANCELLED:
        return None
    return states.SUCCEEDED if ending == states.SUCCEEDED else states.FAILED
