"""The status of a task: what its work itself writes.

In the transaction of the work, so a task has done its work and says so, or neither; and
that transaction conflicts with nobody, and can be undone like any other. But whoever
takes the task away from who has it writes there, too: so one of the two conflicts.
"""

from collective.background.capture.pickling import pack
from collective.background.capture.unpickling import unpack
from collective.background.database.formats import load_package
from collective.background.database.formats import store_package
from datetime import datetime
from datetime import UTC
from persistent import Persistent


# Of the stored formats of tasks; each object has that by which it was written. An
# instance leaves tasks of a later version to others.
VERSION = 1


class Ending(Persistent):
    """What a run has left: stored Packages, or None."""

    def __init__(self, result, exception=None):
        self.version = VERSION
        self._result = store_package(result)
        self._exception = store_package(exception)

    @property
    def result(self):
        return load_package(self._result)

    @property
    def exception(self):
        return load_package(self._exception)


class Failures(Persistent):
    """BatchFailures of one transaction of a batch, behind those of the ones before.

    ``previous``: these, or None. So each is written once.
    """

    def __init__(self, failures, previous):
        self.version = VERSION
        self._package = store_package(pack(failures))
        self.previous = previous

    @property
    def failures(self):
        return unpack(load_package(self._package), None)


class Status(Persistent):
    """What the transactions of the work itself say.

    - ``begun``: the fence of the last claim that has begun with a commit of its own,
      ``began``: when
    - ``worker``: the id of the instance that has written this last; "" of an older one.
      ``settles``: whether it has more to tell of what is done, and settles that itself
    - ``revoked``: the fence of the last claim that was taken away before it was done
    - ``attempts``: how often it was begun, as far as claims know
    - ``done``: the fence of the claim whose work is committed, ``finished``: when;
      ``result``: what it has returned, an Ending or None
    - ``arguments``: what the call was called with, of a task that has succeeded, as
      (name, text) of each argument
    - ``cursor``: how many items of a batch are committed; ``failed``: how many of
      these have failed, ``failures``: Failures of the last ones, or None
    - ``external``: of what is sent to a worker elsewhere, an External, or None
    """

    begun = done = attempts = cursor = failed = revoked = 0
    worker = ""
    settles = False
    began = finished = result = failures = external = None
    arguments = ()

    def __init__(self):
        self.version = VERSION

    def begin(self, fence, attempts, worker):
        self.begun, self.worker = fence, worker
        self.attempts = attempts
        self.began = datetime.now(UTC)

    def succeed(self, fence, task, package, worker, *, settles=False):
        """The work of ``task``, a Task, is about to commit."""
        self.done, self.worker, self.settles = fence, worker, settles
        self.attempts = task.attempts
        self.began = task.started
        self.finished = datetime.now(UTC)
        self.result = Ending(package)
        self.arguments = task.arguments

    def revoke(self, fence):
        """Who has that claim may neither begin any more nor end."""
        self.revoked = fence

    def send(self, task, external):
        """``task``, a Task, is about to be sent to a worker elsewhere."""
        self.external = external
        self.arguments = task.arguments

    def reach(self, fence, task, cursor, failures, worker):
        """The items of ``task`` from its cursor to this one are about to be committed.

        ``failures``: BatchFailures of these.
        """
        self.begun, self.began = fence, self.began or task.started
        self.worker = worker
        self.attempts = task.attempts
        start = task.cursor
        if not start:  # also when all had failed, and it has begun anew
            self.failed, self.failures = 0, None
        self.cursor = cursor
        if cursor == len(task.call.items):
            self.arguments = task.arguments
        if failures:
            self.failed += len(failures)
            self.failures = Failures(failures, self.failures)

    def batch_failures(self):
        """Return the BatchFailures of all items so far, in their order."""
        parts = []
        part = self.failures
        while part is not None:
            parts.append(part.failures)
            spent, part = part, part.previous
            spent._p_deactivate()
        return tuple(failure for found in reversed(parts) for failure in found)
