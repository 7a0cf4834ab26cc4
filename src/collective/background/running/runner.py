"""The runner: makes a task's call, in as many attempts as it takes.

Comes in: an Execution (``scheduling/execution.py``), which is the task as its
thread sees it. Goes out: an Outcome; never an exception. Called in the thread
of the task.

One attempt is one environment and, inside it, one transaction. The first conflict
leads to another one at once; every other exception ends the run, see ``ending.py``.
What is raised once all have voted comes too late to say that the work is not
committed.
"""

from collective.background.capture.call import BATCH
from collective.background.environment.application import environment
from collective.background.model.conflicts import is_alone
from collective.background.model.messages import portable_line
from collective.background.model.messages import portable_text
from collective.background.model.outages import is_outage
from collective.background.model.records import TaskMessage
from collective.background.running import outcome
from collective.background.running.batch import Again
from collective.background.running.batch import Batch
from collective.background.running.current import MESSAGE_TYPES
from collective.background.running.current import running
from collective.background.running.ending import Ended
from collective.background.running.ending import failed
from collective.background.running.ending import in_doubt
from collective.background.running.ending import outcome_of
from collective.background.running.gate import gate
from collective.background.running.kinds import KINDS
from collective.background.running.tracing import log_failure
from collective.background.running.transactions import CommitWatch
from collective.background.running.transactions import follow_up
from collective.background.running.transactions import transactional
from collective.background.zopecompat import has_messages
from Products.statusmessages.interfaces import IStatusMessage
from transaction.interfaces import TransientError

import logging


logger = logging.getLogger(__name__)


def run(execution):
    """Make the call of the execution and return its Outcome."""
    with running(execution):
        try:
            execution.check_cancelled()
            execution.check_begin()
            if execution.call.kind == BATCH:
                return _run_batch(execution)
            kind = KINDS[execution.call.kind](execution.call)
            package = _attempt(execution, kind)
            kind.committed(execution)
            return outcome.succeeded(package)
        except Ended as ended:
            return ended.outcome
        except BaseException as error:
            return outcome_of(execution, error)
        finally:
            execution.tell_if_late()


def _attempt(execution, work):
    """Return the Package of what ``work.run(env)`` returns.

    It is called in an environment and a transaction of its own, and once more in new
    ones when it conflicts: most have met the others by accident. Raises what it raises.
    """
    is_repeated = False
    while True:
        try:
            with (
                gate.attempt(alone=is_alone(execution.conflicts)),
                environment(
                    execution.snapshot, execution.database, work.make_request
                ) as env,
            ):
                return _commit(execution, env, work)
        except Again as reason:
            logger.info("task %s runs again %s", execution.id, reason)
            continue
        except TransientError as conflict:
            if is_outage(conflict):  # which lasts longer than that
                raise
            execution.check_cancelled()
            if is_repeated:
                raise
            error = outcome.describe_error(conflict)
            reason = portable_line(error.message)
            logger.info("task %s conflicts: %s", execution.id, reason)
        is_repeated = True
        work.conflicted()
        execution.repeat(error)


@transactional
def _in_transaction(execution, env, work, watch):
    execution.begin_attempt(env)
    # Packed inside the transaction: a result that cannot be carried fails the
    # task before anything is committed.
    package = outcome.pack_result(work.run(env))
    work.save(execution, env, package)
    watch.join(package)


def _commit(execution, env, work):
    """Return the Package of the result, once it is committed.

    Raises Ended, or what leads to another attempt.
    """
    watch = CommitWatch()
    try:
        _in_transaction(execution, env, work, watch)
    except BaseException as error:
        committed = watch.finished or (watch.voted and execution.was_committed())
        if committed is None and not execution.options.rerun:
            error = in_doubt(error)
        if not committed:
            if isinstance(error, Again | TransientError):
                raise
            _collect_messages(execution, env)
            raise Ended(outcome_of(execution, error)) from error
        text = "task %s is committed, whatever went wrong after that"
        info = outcome.describe_error(error)
        log_failure(logger, logging.WARNING, text, (execution.id,), error, info)
    execution.committed()
    _collect_messages(execution, env)
    if env.request is not None:
        follow_up(env.request)
    return watch.package


def _collect_messages(execution, env):
    """Keep what ``api.portal.show_message`` would have shown to the visitor."""
    if env.request is None or not has_messages(env.request):
        return
    try:
        execution.add_messages(
            TaskMessage(
                text=portable_text(message.message),
                type=message.type if message.type in MESSAGE_TYPES else "info",
            )
            for message in IStatusMessage(env.request).show()
        )
    except Exception:  # the work is committed, or has ended with another error
        logger.exception("the messages of task %s cannot be had", execution.id)


def _run_batch(execution):
    batch = Batch(execution)
    for chunk in batch.remaining():
        execution.check_between()
        _attempt(execution, chunk)
        batch.committed(chunk)
        execution.got_through()
    result = outcome.pack_result(batch.result())
    error = batch.error()
    if error is None:
        return outcome.succeeded(result)
    return failed(execution, error, result)
