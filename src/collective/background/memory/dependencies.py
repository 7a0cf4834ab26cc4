"""``after``: tasks that wait until others have succeeded.

Plain data, changed under the scheduler's lock only. A task that has ended, but could be
tried again, is told of successes, too: they may be forgotten by then.
"""


class Dependencies:
    """Which tasks are to start after which others; each has these in its ``after``."""

    def __init__(self):
        self._waiting = {}  # tasks that wait, by the id of the one they wait for

    def add(self, task):
        """Let a task wait for what is in its ``after``."""
        for id in task.after:
            self._waiting.setdefault(id, {})[task.id] = task

    def discard(self, task):
        """A task was forgotten; perhaps it waited."""
        for id in task.after:
            waiting = self._waiting.get(id, {})
            waiting.pop(task.id, None)
            if not waiting:
                self._waiting.pop(id, None)

    def succeeded(self, id):
        """What has this id has succeeded: return those that wait for nothing now."""
        waiting = self._waiting.pop(id, {}).values()
        for task in waiting:
            task.after.discard(id)
        return [task for task in waiting if not task.after]

    def waiting_for(self, id):
        """Return the tasks that are to start after what has this id."""
        return list(self._waiting.get(id, {}).values())
