"""Batches: many items, some in each transaction.

The cursor is the number of chunks that are committed; a run begins there. In a
chunk every item has a savepoint, so that one which raises an exception takes
nothing with it but its own changes.
"""

from collective.background.capture.pickling import pack
from collective.background.capture.pickling import unpack
from collective.background.capture.reference import describe
from collective.background.environment.request import make_request
from collective.background.exceptions import BatchFailed
from collective.background.exceptions import NotPortable
from collective.background.exceptions import TaskCancelled
from collective.background.records import BatchFailure
from collective.background.records import BatchResult
from collective.background.records import Progress
from collective.background.running.outcome import describe_error
from transaction.interfaces import TransientError

import functools
import logging
import transaction


logger = logging.getLogger(__name__)


class Again(Exception):
    """An item failed and could not be undone alone: the chunk runs without it.

    Some data managers (SQLite's) have no savepoints.
    """


class Batch:
    """One run of a batch. ``execution``: keeps cursor and failures between runs."""

    def __init__(self, execution):
        self._execution = execution
        self._call = execution.call

    def remaining(self):
        """Yield the chunks that are not committed yet."""
        for package in self._call.chunks[self._execution.cursor :]:
            yield Chunk(self._call.package, package)

    def committed(self, chunk):
        """The transaction of ``chunk`` is committed: move the cursor on."""
        execution = self._execution
        execution.batch_failures += tuple(chunk.failures.values())
        execution.cursor += 1
        before = execution.progress
        execution.progress = Progress(
            done=before.done + chunk.size,
            total=self._call.items,
            message=before.message,
        )

    def result(self):
        failures = self._execution.batch_failures
        return BatchResult(done=self._call.items - len(failures), failures=failures)

    def error(self):
        """Return the exception with which the batch ends, or None."""
        failures = self._execution.batch_failures
        if not failures or len(failures) < self._call.items:
            return None
        first = failures[0].error
        return BatchFailed(
            f"all {len(failures)} items failed; the first one: "
            f"{first.type}: {first.message}"
        )


class Chunk:
    """The items of one transaction.

    ``failures``: BatchFailures by their index. They stay when the chunk runs
    Again, so that their items are left out.
    """

    def __init__(self, function, items):
        self._function = function
        self._items = items
        self.failures = {}
        self.size = 0

    def make_request(self, snapshot):
        return make_request(snapshot)

    def conflicted(self):
        self.failures.clear()

    def run(self, env):
        """Call the function for every item, in the current transaction."""
        function, args, kwargs = unpack(self._function, env.app)
        items = unpack(self._items, env.app)
        self.size = len(items)
        for index, item in items:
            if index not in self.failures:
                call = functools.partial(function, item, *args, **kwargs)
                self._run_item(index, item, call)

    def _run_item(self, index, item, call):
        savepoint = transaction.savepoint(optimistic=True)
        try:
            call()
        except (TransientError, TaskCancelled):
            raise
        except Exception as error:
            logger.exception("item %s failed", index)
            self.failures[index] = BatchFailure(
                index=index, item=_portable(item), error=describe_error(error)
            )
            try:
                savepoint.rollback()
            except TypeError as no_savepoints:
                raise Again(f"without item {index}") from no_savepoints


def _portable(item):
    """Return the item, or a text that names it if it refers to ZODB objects."""
    try:
        package = pack(item)
    except NotPortable:
        return repr(item)
    if not package.refers:
        return item
    if hasattr(item, "getPhysicalPath"):
        return "/".join(item.getPhysicalPath())
    return describe(item) if hasattr(item, "_p_oid") else repr(item)
