"""The runner: makes a task's call, in as many attempts as it takes.

Comes in: an Execution (``scheduling/execution.py``), which is the task as its
thread sees it. Goes out: an Outcome; never an exception. Called in the thread
of the task.

One attempt is one environment and, inside it, one transaction. A conflict leads
to another one after a random, growing delay; every other exception ends the run.
"""

from collective.background.capture.call import BATCH
from collective.background.environment.application import environment
from collective.background.exceptions import Retry
from collective.background.exceptions import Superseded
from collective.background.exceptions import TaskCancelled
from collective.background.model.records import TaskMessage
from collective.background.running import outcome
from collective.background.running.batch import Again
from collective.background.running.batch import Batch
from collective.background.running.current import running
from collective.background.running.gate import gate
from collective.background.running.kinds import KINDS
from collective.background.running.publishing import Failed
from collective.background.running.retrying import retry_delay
from collective.background.running.transactions import transactional
from collective.background.zopecompat import has_messages
from Products.statusmessages.interfaces import IStatusMessage
from random import uniform
from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError

import logging


logger = logging.getLogger(__name__)

CONFLICTS = (ConflictError, TransientError)


def run(execution):
    """Make the call of the execution and return its Outcome."""
    with running(execution):
        try:
            execution.check_cancelled()
            if execution.call.kind == BATCH:
                return _run_batch(execution)
            kind = KINDS[execution.call.kind](execution.call)
            return outcome.succeeded(_attempt(execution, kind))
        except _Ended as ended:
            return ended.outcome
        except BaseException as error:
            return _outcome_of(execution, error)


class _Ended(Exception):
    """A run has ended with an exception; ``outcome``: the Outcome made of it.

    That is made inside the environment: an exception may hold content, and once
    the connection is closed that belongs to whoever opens it next.
    """

    def __init__(self, outcome):
        super().__init__(outcome)
        self.outcome = outcome


def _outcome_of(execution, error):
    """Return the Outcome of a run that was ended by ``error``, and log it."""
    if isinstance(error, TaskCancelled):
        return outcome.cancelled(error)
    if isinstance(error, Superseded):
        logger.warning("%s", error)
        return outcome.failed(error)
    if isinstance(error, Failed):
        logger.info("task %s: %s", execution.id, error.exception)
        return _failed(execution, error.exception, outcome.pack_result(error.response))
    if isinstance(error, Retry):
        logger.info("task %s asks for another attempt: %s", execution.id, error)
        return _failed(execution, error)
    # SystemExit and the like end the task, and never the process: it is not
    # theirs, and a record must not stay "running" because of them.
    ended = _failed(execution, error)
    try:
        logger.error(
            "task %s failed: %s", execution.id, execution.title, exc_info=error
        )
    except BaseException:  # of the exception's own methods: anything
        logger.error("task %s failed: %s", execution.id, ended.error.traceback)
    return ended


def _failed(execution, error, result=None):
    retry_in = retry_delay(execution.options, execution.failures, error)
    return outcome.failed(error, result, retry_in=retry_in)


def _attempt(execution, work):
    """Return the Package of what ``work.run(env)`` returns.

    It is called in an environment and a transaction of its own, and again in
    new ones when it conflicts. Raises what it raises.
    """
    delay = transactional.retry_initial_delay
    conflicts = 0
    while True:
        is_last = 0 < conflicts == execution.conflict_attempts - 1
        try:
            with (
                gate.attempt(alone=is_last),
                environment(
                    execution.snapshot, execution.database, work.make_request
                ) as env,
            ):
                return _with_messages(execution, env, work)
        except Again as reason:
            logger.info("task %s runs again %s", execution.id, reason)
            continue
        except CONFLICTS as conflict:
            conflicts += 1
            if conflicts >= execution.conflict_attempts:
                raise
            logger.info("task %s conflicts: %s", execution.id, conflict)
        work.conflicted()
        execution.wait_before_retry(uniform(0, delay))
        execution.check_cancelled()
        delay *= transactional.retry_delay_factor
        delay = min(delay, transactional.retry_longest_delay)


@transactional
def _in_transaction(execution, env, work):
    # Packed inside the transaction: a result that cannot be carried fails the
    # task before anything is committed.
    execution.begin_attempt(env)
    package = outcome.pack_result(work.run(env))
    work.save(execution, env, package)
    return package


def _with_messages(execution, env, work):
    try:
        package = _in_transaction(execution, env, work)
    except (Again, *CONFLICTS):
        raise
    except BaseException as error:
        _collect_messages(execution, env)
        raise _Ended(_outcome_of(execution, error)) from error
    _collect_messages(execution, env)
    return package


def _collect_messages(execution, env):
    """Keep what ``api.portal.show_message`` would have shown to the visitor."""
    if env.request is not None and has_messages(env.request):
        execution.add_messages(
            TaskMessage(text=message.message, type=message.type)
            for message in IStatusMessage(env.request).show()
        )


def _run_batch(execution):
    batch = Batch(execution)
    for chunk in batch.remaining():
        execution.check_cancelled()
        _attempt(execution, chunk)
        batch.committed(chunk)
    result = outcome.pack_result(batch.result())
    error = batch.error()
    if error is None:
        return outcome.succeeded(result)
    return _failed(execution, error, result)
