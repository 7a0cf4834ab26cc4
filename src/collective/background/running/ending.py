"""The end of a run: which Outcome an exception leads to, and what is logged of it."""

from collective.background.exceptions import CommitInDoubt
from collective.background.exceptions import Retry
from collective.background.exceptions import Superseded
from collective.background.exceptions import TaskCancelled
from collective.background.model.outages import is_outage
from collective.background.running import outcome
from collective.background.running.publishing import Failed
from collective.background.running.retrying import outage_delay
from collective.background.running.retrying import retry_delay

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
    if isinstance(error, TaskCancelled):
        return outcome.cancelled(error)
    if isinstance(error, Superseded):
        ended = outcome.failed(error, superseded=True)
        logger.warning(
            "task %s was taken over: %s", execution.id, one_line(ended.error)
        )
        return ended
    if isinstance(error, CommitInDoubt):
        return _logged(execution, error, outcome.failed(error))
    if is_outage(error):
        delay = outage_delay(execution.outages)
        if delay is not None:
            ended = outcome.failed(error, retry_in=delay, outage=True)
            logger.warning(
                "task %s waits %.0f s for the database: %s",
                *(execution.id, delay, one_line(ended.error)),
            )
            return ended
    if isinstance(error, Failed):
        logger.info("task %s: %s", execution.id, error.exception)
        result = outcome.pack_result(error.response)
        return failed(execution, error.exception, result)
    if isinstance(error, Retry):
        logger.info("task %s asks for another attempt: %s", execution.id, error)
        return failed(execution, error)
    # SystemExit and the like end the task, and never the process: it is not
    # theirs, and a record must not stay "running" because of them.
    return _logged(execution, error, failed(execution, error))


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


def one_line(error):
    """Return an ErrorInfo as a text for a line of the log."""
    return " ".join(f"{error.type}: {error.message}".split())


def _logged(execution, error, ended):
    try:
        logger.error(
            "task %s failed: %s", execution.id, execution.title, exc_info=error
        )
    except BaseException:  # of the exception's own methods: anything
        logger.error("task %s failed: %s", execution.id, ended.error.traceback)
    return ended
