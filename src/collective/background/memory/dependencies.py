"""``after``: tasks that wait until others have succeeded.

Plain data, changed under the scheduler's lock only.
"""


class Dependencies:
    """Which tasks wait for which others."""

    def __init__(self):
        self._missing = {}  # ids that a waiting task still waits for, by its id
        self._waiting = {}  # tasks that wait, by the id of the one they wait for

    def add(self, task, ids):
        """Let ``task`` wait until the tasks with these ids have succeeded."""
        self._missing[task.id] = set(ids)
        for id in ids:
            self._waiting.setdefault(id, {})[task.id] = task

    def discard(self, task):
        """``task`` does not wait any more, if it did."""
        for id in self._missing.pop(task.id, ()):
            waiting = self._waiting[id]
            del waiting[task.id]
            if not waiting:
                del self._waiting[id]

    def is_waiting(self, task):
        return task.id in self._missing

    def succeeded(self, id):
        """The task ``id`` has succeeded: return those that wait for nothing now."""
        free = []
        for task in self._waiting.pop(id, {}).values():
            missing = self._missing[task.id]
            missing.discard(id)
            if not missing:
                del self._missing[task.id]
                free.append(task)
        return free

    def waiting_for(self, id):
        """Return the tasks that wait for the task ``id``."""
        return list(self._waiting.get(id, {}).values())
