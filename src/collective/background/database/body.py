"""The body of a task: what it runs, with all that was taken along from the request.

Written when it is scheduled, and not changed any more. It may be large, and holds what
is private; so nothing of it stays with a task that has succeeded.
"""

from collective.background.database.formats import load_call
from collective.background.database.formats import load_callbacks
from collective.background.database.formats import load_options
from collective.background.database.formats import load_snapshot
from collective.background.database.formats import store_call
from collective.background.database.formats import store_options
from collective.background.database.formats import store_snapshot
from collective.background.database.status import VERSION
from persistent import Persistent


class Body(Persistent):
    """What a StoredTask runs, and in which environment.

    ``task``: a Task of ``scheduling/task.py``; ``blobs``: Blobs that it shares with
    others, or None. Raises NotPortable.
    """

    def __init__(self, task, blobs=None):
        self.version = VERSION
        self._call = store_call(task.call, blobs)
        self._snapshot = store_snapshot(task.snapshot, blobs)
        self._options = store_options(task.options)
        self._callbacks = {
            state: tuple(map(store_call, calls))
            for state, calls in task.callbacks.items()
        }

    @property
    def call(self):
        return load_call(self._call)

    @property
    def snapshot(self):
        return load_snapshot(self._snapshot)

    @property
    def options(self):
        """Raises whatever the loading of classes raises."""
        return load_options(self._options)

    def callbacks(self, state):
        """Return the Calls to make when the task has ended like that."""
        return load_callbacks(self._callbacks.get(state, ()))
