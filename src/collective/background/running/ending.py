"""The end of a run: which Outcome an exception leads to, and what is logged of it."""

from collective.background.exceptions import CommitInDoubt
from collective.background.exceptions import Retry
from collective.background.exceptions import Superseded
from collective.background.exceptions import TaskCancelled
from collective.background.exceptions import TaskFailed
from collective.background.exceptions import TooLate
from collective.background.model import states
from collective.background.model.messages import portable_line
from collective.background.model.messages import TEXT_LENGTH
from collective.background.model.outages import is_outage
from collective.background.running import outcome
from collective.background.running.publishing import Failed
from collective.background.running.retrying import conflict_delay
from collective.background.running.retrying import outage_delay
from collective.background.running.retrying import retry_delay
from collective.background.running.tracing import log_failure
from transaction.interfaces import TransientError

import logging


logger = logging.getLogger(__name__)


class Ended(Exception):
    """A run has ended with an exception; ``outcome``: the Outcome made of it.

    That is made inside the environment: an exception may hold content, and once
    the connection is closed that belongs to whoever opens it next.
    """

    def __init__(self, outcome):
        super().__init__(outcome)
        self.outcome = outcome


def outcome_of(execution, error):
    """Return the Outcome of a run that was ended by ``error``, and log it.

    ``execution``: the Execution.
    """
    ended = _decide(execution, error)
    _log(execution, error, ended)
    return ended


def _decide(execution, error):
    if isinstance(error, TaskCancelled):
        return outcome.cancelled(error)
    if isinstance(error, Superseded):
        return outcome.failed(error, superseded=True)
    if isinstance(error, CommitInDoubt | TooLate):
        return outcome.failed(error)
    if is_outage(error):
        delay = outage_delay(execution.outages)
        if delay is not None:
            return outcome.failed(error, retry_in=delay, outage=True)
    elif isinstance(error, TransientError):
        delay = conflict_delay(execution.conflicts, execution.conflict_attempts)
        if delay is not None:
            return outcome.failed(error, retry_in=delay, conflict=True)
    if isinstance(error, Failed):
        result = outcome.pack_result(error.response)
        return failed(execution, error.exception, result)
    # SystemExit and the like end the task, and never the process: it is not
    # theirs, and a record must not stay "running" because of them.
    return failed(execution, error)


def in_doubt(error):
    """Return the CommitInDoubt that ``error`` has led to."""
    doubt = CommitInDoubt(
        "the connection to the database was lost while the work was committed, so the "
        "work (of a batch, that of its last transaction) may have been done: look "
        "whether it was, and retry the task if it was not"
    )
    doubt.__cause__ = error
    return doubt


def failed(execution, error, result=None):
    """Return the Outcome of a failure, after which the task may be tried again.

    ``result``: the Package of what there is in spite of the ``error``, or None.
    """
    retry_in = retry_delay(execution.options, execution.failures, error)
    return outcome.failed(error, result, retry_in=retry_in)


def _log(execution, error, ended):
    level = logging.WARNING
    if ended.superseded:
        text = "was taken over"
    elif ended.outage:
        text = f"waits {ended.retry_in:.0f} s for the database"
    elif ended.conflict:
        text = f"conflicts with others, and waits {ended.retry_in:.1f} s"
    elif isinstance(error, Failed):
        level, text = logging.INFO, "failed, with an answer"
    elif isinstance(error, TaskFailed):
        level, text = logging.INFO, "failed, with a text for its user"
    elif isinstance(error, Retry):
        level, text = logging.INFO, "asks for another attempt"
    elif ended.retry_in is not None:
        text = f"is tried again in {ended.retry_in:.0f} s"
    elif ended.state == states.FAILED:
        _log_traceback(execution, error, ended)
        return
    else:
        return
    reason = portable_line(f"{ended.error.type}: {ended.error.message}", TEXT_LENGTH)
    logger.log(level, "task %s %s: %s", execution.id, text, reason)


def _log_traceback(execution, error, ended):
    text = "task %s failed (error %s): %s"
    values = (execution.id, ended.error.id, portable_line(execution.title))
    try:
        log_failure(logger, logging.ERROR, text, values, error, ended.error)
    except BaseException:  # of the exception's own methods: anything
        logger.error(f"{text}\n%s", *values, ended.error.traceback)
