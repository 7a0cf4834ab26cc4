"""Batches: many items, some in each transaction.

The cursor is the number of items whose transaction is committed; a run begins
there. Every item has a savepoint, so that one which raises an exception takes
nothing with it but its own changes; and each is carried by itself, so that one
which is gone is a failure of its own, too.
"""

from collective.background.capture.unpickling import unpack
from collective.background.environment.request import make_request
from collective.background.exceptions import BatchFailed
from collective.background.exceptions import Retry
from collective.background.exceptions import Superseded
from collective.background.exceptions import TaskCancelled
from collective.background.exceptions import TaskFailed
from collective.background.exceptions import TaskTimedOut
from collective.background.model.messages import _
from collective.background.model.messages import portable_line
from collective.background.model.outages import is_outage
from collective.background.model.records import BatchFailure
from collective.background.model.records import BatchResult
from collective.background.model.records import Progress
from collective.background.model.records import TaskMessage
from collective.background.running.outcome import describe_error
from collective.background.running.outcome import pack_plain
from collective.background.running.tracing import log_failure
from dataclasses import replace
from transaction.interfaces import TransientError

import logging
import transaction


logger = logging.getLogger(__name__)

MAX_TRACEBACKS = 100  # of items that failed; so many of them are logged, too
MAX_ITEM = 10_000  # bytes of the pickle of an item that failed; else it is named
MAX_NAME = 300  # characters


# What an item raises to stop or to repeat the task; no failures of its own.
NOT_FAILURES = (TransientError, TaskCancelled, TaskTimedOut, Superseded, Retry)


class Again(Exception):
    """An item failed and could not be undone alone: the chunk runs without it.

    Some data managers (SQLite's) have no savepoints.
    """


class Batch:
    """One run of a batch. ``execution``: keeps cursor and failures between runs."""

    def __init__(self, execution):
        self._execution = execution
        self._call = execution.call
        if self.error() is not None:
            # All of it failed, and it is tried once more from the beginning.
            execution.cursor = 0
            execution.batch_failures = ()
        self._show_progress()

    def remaining(self):
        """Yield the chunks that are not committed yet."""
        size, items = self._call.size, self._call.items
        for start in range(self._execution.cursor, len(items), size):
            failed = len(self._execution.batch_failures)
            yield Chunk(self._call.package, start, items[start : start + size], failed)

    def committed(self, chunk):
        """The transaction of ``chunk`` is committed: move the cursor on."""
        self._execution.batch_failures += chunk.new_failures()
        self._execution.cursor = chunk.end
        self._show_progress()

    def _show_progress(self):
        done, total = self._execution.cursor, len(self._call.items)
        self._execution.progress = Progress(
            done=done,
            total=total,
            message=self._execution.progress.message,
            failed=len(self._execution.batch_failures),
            seconds_left=self._execution.seconds_left(done, total),
        )

    def result(self):
        """Return the BatchResult, and tell the user if something is amiss."""
        failures = self._execution.batch_failures
        if failures and self.error() is None:
            text = _(
                "${failed} of ${all} items failed.",
                mapping={"failed": len(failures), "all": len(self._call.items)},
            )
            self._execution.add_messages([TaskMessage(text=text, type="warning")])
        return BatchResult(
            done=len(self._call.items) - len(failures), failures=failures
        )

    def error(self):
        """Return the exception with which the batch ends, or None."""
        failures = self._execution.batch_failures
        if not failures or len(failures) < len(self._call.items):
            return None
        first = failures[0].error
        failed = BatchFailed(
            f"all {len(failures)} items failed; the first one: "
            f"{first.type}: {first.message}"
        )
        if first.public:
            failed.public = first.public
        return failed


class Chunk:
    """The items of one transaction.

    ``function``: a Package of the function and its arguments; ``start``: index
    of the first item; ``items``: a Package of each.
    ``failed``: how many items of the chunks before have failed.
    ``failures``: BatchFailures by their index. They stay when the chunk runs
    Again, so that their items are left out.
    """

    def __init__(self, function, start, items, failed):
        self._function = function
        self._start = start
        self.items = items
        self._failed = failed
        self.failures = {}

    @property
    def end(self):
        """Where the cursor is when it is committed."""
        return self._start + len(self.items)

    def new_failures(self):
        """Return the BatchFailures of this chunk, not all with their tracebacks."""
        return tuple(
            failure
            if index < MAX_TRACEBACKS
            else replace(failure, error=replace(failure.error, traceback=""))
            for index, failure in enumerate(self.failures.values(), self._failed)
        )

    def make_request(self, snapshot):
        return make_request(snapshot)

    def conflicted(self):
        self.failures.clear()

    def save(self, execution, env, package):
        """Let the cursor be committed together with the items."""
        execution.save_cursor(env, self.end, self.new_failures())

    def run(self, env):
        """Call the function for every item, in the current transaction."""
        function, args, kwargs = unpack(self._function, env.app)
        for index, package in enumerate(self.items, self._start):
            if index not in self.failures:
                self._run_item(index, package, env.app, function, args, kwargs)

    def _run_item(self, index, package, app, function, args, kwargs):
        savepoint = transaction.savepoint(optimistic=True)
        try:
            function(unpack(package, app), *args, **kwargs)
        except NOT_FAILURES:
            raise
        except Exception as error:
            if is_outage(error):
                raise
            self._note(index, package, error)
            try:
                savepoint.rollback()
            except TypeError as no_savepoints:
                raise Again(f"without item {index}") from no_savepoints

    def _note(self, index, package, error):
        """Keep the failure of an item, and log it: the first one with its traceback.

        Those of the next ones are with the result.
        """
        info = describe_error(error)
        number = self._failed + len(self.failures)
        text = "item %s failed (error %s): %s"
        values = (index, info.id, portable_line(f"{info.type}: {info.message}"))
        if not (number or isinstance(error, TaskFailed)):
            log_failure(logger, logging.WARNING, text, values, error, info)
        elif number < MAX_TRACEBACKS:
            logger.warning(text, *values)
        item = _shown(index, package)
        self.failures[index] = BatchFailure(index=index, item=item, error=info)


def _shown(index, package):
    """Return a copy of the item, or a text that names it."""
    files = [spool.filename for spool in package.spools if hasattr(spool, "filename")]
    try:
        if not package.spools:
            item = unpack(package, None)
            # What was packed once is not always what can be packed again.
            if pack_plain(item, MAX_ITEM) is not None:
                return item
    except Exception:  # it refers to persistent objects, or cannot be loaded
        logger.debug("item %s cannot be shown", index, exc_info=True)
    names = ", ".join(map(str, (*package.references, *files)))
    return names[:MAX_NAME] or f"item {index}"
