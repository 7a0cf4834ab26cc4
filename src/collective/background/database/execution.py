"""An execution of a task in the database: what it has done is written there.

In the transaction of the work itself: so after a crash a task has either done its
work and says so, or has done nothing. Made by the worker, used by ``running/``.
"""

from collective.background.database.private import connected
from collective.background.exceptions import Retry
from collective.background.exceptions import Superseded
from collective.background.model import states
from collective.background.running import outcome
from collective.background.scheduling.execution import Execution


class PersistentExecution(Execution):
    """``claim``: what this instance has claimed, a Claim of ``worker.py``."""

    def __init__(self, worker, task, claim):
        super().__init__(worker, task)
        self._claim = claim
        self._first = self._reached(task)
        self._saved = None  # of a batch: what the last chunk has reached

    def save_success(self, env, package):
        self._stored(env).end(outcome.succeeded(package), self._task)

    def save_cursor(self, env, end, new_failures):
        stored = self._stored(env)
        # A batch of which all failed begins anew, so it may also be the first one.
        if self._reached(stored) not in (self._first, self._reached(self)):
            self.cursor, self.batch_failures = stored.cursor, stored.batch_failures
            raise Retry("a chunk was committed, though the storage did not say so", 0)
        stored.cursor = end
        stored.batch_failures = (*self.batch_failures, *new_failures)
        self._saved = self._reached(stored)

    def was_committed(self):
        database = self.database.databases[self._claim.database_name]
        with connected(database, self._claim.oid) as (stored, _):
            if stored.fence != self._claim.fence:
                return False
            if self._saved is None:
                return stored.state == states.SUCCEEDED
            return self._reached(stored) == self._saved

    def _reached(self, batch):
        """Return what is different after each chunk with an effect."""
        return batch.cursor, len(batch.batch_failures)

    def _stored(self, env):
        """Return the StoredTask in the connection of the work.

        Raises Superseded if it is not this instance's any more: then the work must
        not be committed.
        """
        connection = env.app._p_jar.get_connection(self._claim.database_name)
        stored = connection.get(self._claim.oid)
        if stored.fence != self._claim.fence or stored.state != states.RUNNING:
            raise Superseded(
                f"the task {self.id} was taken over by another instance, as this one "
                "was silent for too long; or its work was committed already, though "
                "the storage did not say so"
            )
        return stored
