"""Taking over: what runs here, and was sent by another instance, becomes this one's.

Unless it is done in a moment: then who has sent it settles it, see ``sent``. What is
taken over is told of here, and its end is settled here.

Comes in: a Look, and Held that are lent. Goes out: StoredTasks of this instance.
"""

from collective.background.capture.call import BATCH
from collective.background.capture.call import EXTERNAL
from collective.background.database.pacing import BRIEF
from collective.background.database.reports import has_told
from collective.background.database.reports import Report
from collective.background.model import states
from functools import partial
from time import monotonic


def is_left_to_sender(held):
    """Whether nothing of the end of a Held is to be written but what the work has."""
    task, ended = held.task, held.ended
    if not held.is_lent or task is None or ended is None:
        return False
    if ended.state != states.SUCCEEDED or task.call.kind in (BATCH, EXTERNAL):
        return False
    return not (held.settles or held.tells_more)


def take_over(look, *, everything=False):
    """Take over what runs here for longer, or has ended otherwise. In a Look.

    ``everything``: also what has just begun.
    """
    for held in filter(look.knows, look.feeder.held.lent()):
        stored = look.mine(held)
        if held.is_over:
            if stored is None:
                look.drop(held)  # it is somebody else's, or has ended
                _tell_late(look, held)
                continue
        elif stored is None or not (everything or _is_long(held)):
            continue
        _take(look, held, stored)


def _is_long(held):
    return held.task is not None and monotonic() - held.began_at >= BRIEF


def _tell_late(look, held):
    """Keep what a task has told after its commit, when its end is settled already."""
    stored = look.scheduler.shards.find(held.claim.id)
    if stored is None or held.task is None or not has_told(held.task):
        return
    status, fence = stored.status, held.claim.fence
    if stored.fence == status.done == fence and status.worker == look.me:
        report = stored.report or Report()
        report.tell(held.task, None)
        stored.report = report


def _take(look, held, stored):
    stored.hand_over(look.me)
    if held.is_left:
        look.has_to_take_turns(stored)
    elif look.scheduler.shards.requested(stored.id) is not None:
        look.feeder.stop_running(held)
    began = held.task and held.task.began
    look.tasks[stored.id] = (held.claim.fence, began, None)
    look.uses[stored.id] = stored.queue, stored.locks
    look.then.append(partial(look.feeder.took_over, held))
