"""``unique``: at most one unfinished task has a key.

Plain data, changed under the scheduler's lock only. A key belongs to the first
task with it that is committed, until that has ended. What another transaction
has scheduled, and not committed yet, is not looked at: that may still abort.
"""

from collective.background.exceptions import UniqueConflict

import transaction


class UniqueKeys:
    """The tasks of unique keys."""

    def __init__(self):
        self._holders = {}

    def find(self, key):
        """Return the task that has the key, or the one of this transaction."""
        holder = self._holders.get(key)
        # Its transaction is about to commit, and may still fail.
        if holder is not None and not holder.committed:
            holder = None
        return holder or self._own().get(key)

    def join(self, key, task):
        """``task`` of the current transaction is to have the key."""
        self._own()[key] = task

    def leave(self, key, task):
        """``task`` was forgotten, or has ended."""
        for holders in (self._holders, self._own()):
            if holders.get(key) is task:
                del holders[key]

    def take(self, key, task):
        """Give the key to a task whose transaction commits.

        Raises UniqueConflict if another one was faster.
        """
        holder = self._holders.setdefault(key, task)
        if holder is not task:
            raise UniqueConflict(
                f"another transaction has just scheduled a task with the unique key "
                f"{key[1]!r}: {holder.id}"
            )

    def _own(self):
        """Return the keys of the current transaction."""
        current = transaction.get()
        try:
            return current.data(self)
        except KeyError:
            keys = {}
            current.set_data(self, keys)
            return keys
