"""Forgetting: what has ended is forgotten in time, also while nobody asks.

By the dispatcher, whose thread waits for it. Once all is forgotten, it ends.
"""

from math import inf


TOGETHER = 5.0  # seconds that what is too old may stay, so that many go at once


class Forgetting:
    """``lifecycle``: the Lifecycle of the tasks."""

    def __init__(self, lifecycle):
        self._lifecycle = lifecycle

    def remember(self, moment):
        """Something is to be forgotten at a moment; see ``Store.evict``.

        Called under the lock. Without a thread of the dispatcher, nobody hears of it
        before ``look()``.
        """
        if moment < inf:
            dispatcher = self._lifecycle.executor.dispatcher
            dispatcher.remind(self._lifecycle, moment + TOGETHER, self.look)

    def look(self):
        """Forget what is too old, and see to the rest. Not under the lock."""
        with self._lifecycle.changed:
            self.remember(self._lifecycle.store.evict())
        self._lifecycle.executor.dispatcher.wake_up()
