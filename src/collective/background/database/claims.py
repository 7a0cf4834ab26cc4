"""Claims: what an instance may begin, that it has begun, and how that has ended.

Comes in: StoredTasks, in the transaction of the caller. Called by the worker.
"""

from collective.background.database.housekeeping import settle
from collective.background.exceptions import TaskCancelled
from collective.background.model import states
from collective.background.scheduling import rules
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from datetime import UTC

import logging


logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A task that waits, as the dispatcher and its queues know it.

    ``options``: itself; they ask for its ``queue`` and ``priority`` there.
    """

    id: str
    oid: bytes
    queue: str
    priority: int

    @property
    def options(self):
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What a thread has claimed: a StoredTask, by the number ``fence``."""

    id: str
    oid: bytes
    fence: int
    database_name: str


def can_begin(scheduler, stored):
    """Whether a task may begin now. Since the last look others may have changed it."""
    return (
        stored.state in states.WAITING
        and stored.queue not in scheduler.paused
        and (stored.eta is None or seconds_until(stored.eta) == 0)
    )


def hindrance(scheduler, stored):
    """Return why a waiting task cannot start at all, or None."""
    if stored.home != scheduler._p_oid:
        return TaskCancelled(
            "the task was copied together with its site; the original one is run there"
        )
    for id in stored.after:
        before = scheduler.shards.find(id)
        if before is None:
            return rules.predecessor_unknown(id)
        if before.state in states.FINISHED and before.state != states.SUCCEEDED:
            return rules.in_vain(before)
    return None


def is_due(scheduler, stored):
    """Whether all tasks have succeeded that a task without a hindrance waits for."""
    return all(
        scheduler.shards.find(id).state == states.SUCCEEDED for id in stored.after
    )


def seconds_until(eta):
    """``eta``: an aware datetime."""
    return max(0.0, (eta - datetime.now(UTC)).total_seconds())


def write_end(scheduler, claim, task, ended, is_stopping):
    """Write how a run has ended; return the record if it is to be announced, or None.

    ``claim``: the Claim; ``task``: the Task, or None; ``ended``: the Outcome;
    ``is_stopping``: whether the process ends, so that others may run the task.
    """
    stored = scheduler.shards.find(claim.id)
    if stored is None:
        return None
    is_ours = stored.fence == claim.fence
    if is_ours and stored.state == states.SUCCEEDED:
        # Written by the work itself, whatever has gone wrong after its commit.
        if stored.hint == states.SUCCEEDED:
            return None  # another instance has tidied up
        stored.note(task)  # what was told since
        return settle(scheduler, stored)
    if not is_ours or stored.state != states.RUNNING:
        logger.warning(
            "task %s %r has ended (%s), but is recorded as %s",
            *(stored.id, stored.title, ended.state, stored.state),
        )
        return None
    is_cancelled = scheduler.shards.is_cancelled(stored.id)
    if is_stopping and ended.state == states.CANCELLED and not is_cancelled:
        # It has stopped only because this process does.
        stored.note(task)
        stored.release()
        scheduler.shards.move(stored)
        return None
    if ended.retry_in is not None and not is_cancelled:
        task.failures = stored.failures + 1  # not twice after a conflict
        eta = datetime.now(UTC) + timedelta(seconds=ended.retry_in)
        stored.put_off(ended, task, eta)
        scheduler.shards.move(stored)
        return stored.record()
    stored.end(ended, task)
    return settle(scheduler, stored)
