"""The thread of a task: begins what is reserved here, does its work, leaves its end.

Comes in: a Held; the dispatcher has started the thread, or one of somebody else does it
(``taking``). Goes out: the Outcome, at the feeder of the site, whose next look settles
it, or who has sent the task.
"""

from AccessControl.SecurityManagement import noSecurityManager
from collective.background.database import claims
from collective.background.database.private import connected
from collective.background.exceptions import Superseded
from collective.background.running import outcome
from collective.background.running.current import keep_log_lines
from collective.background.running.runner import run
from collective.background.telling.events import announce
from functools import partial
from time import monotonic
from transaction.interfaces import TransientError

import logging


logger = logging.getLogger(__name__)


def work_on(feeder, held, begin=None):
    """The whole life of a task's thread. ``feeder``: the Feeder of its site.

    ``begin()``: returns as ``claims.begin``, and raises as that; None: that itself.
    """
    begin = begin or partial(_begin, feeder, held)
    began = monotonic()
    with feeder.changed:
        held.has_thread = True
    ended = None
    try:
        ended = _begin_and_run(feeder, held, begin)
    except TransientError as conflict:
        logger.debug("the task %s cannot begin now: %s", held.claim.id, conflict)
    except BaseException:  # or nobody would know that the thread has ended
        logger.exception("the task %s could not be begun", held.claim.id)
        held.has_failed = True
    finally:
        noSecurityManager()
    feeder.ended(held, ended, monotonic() - began)


def _begin(feeder, held):
    worker = feeder.executor.instance
    with connected(feeder.home, held.claim.oid) as (stored, manager):
        return claims.begin(stored, manager, held.claim, feeder.database, worker)


def _begin_and_run(feeder, held, begin):
    """Return the Outcome, or None if it has not begun."""
    try:
        task, record, error = begin()
    except Superseded as reason:
        logger.info("%s", reason)
        return None
    if error is not None:
        return outcome.failed(error)
    feeder.began(held, task)
    keep_log_lines()
    try:
        if record is not None:
            announce(record)
        ended = run(claims.ClaimedExecution(feeder, task, held))
        feeder.contention.note(task.callable, ended.conflict)
        return ended
    except BaseException as error:  # SystemExit and the like, of a subscriber
        return outcome.failed(error)
