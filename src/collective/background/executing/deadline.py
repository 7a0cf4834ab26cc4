"""Until when the end of a process waits for its tasks."""

from time import monotonic


SLICE = 0.2  # seconds until who waits sees that nobody wants to wait any longer


class Deadline:
    """``timeout``: seconds from now; ``end()`` ends them before."""

    def __init__(self, timeout):
        self._end = monotonic() + timeout
        self._is_ended = False
        self._original = self

    def end(self):
        """Wait no longer. In a handler of signals, so it takes no lock."""
        self._is_ended = True

    def left(self):
        """Return how many seconds are left."""
        if self._original._is_ended:
            return 0.0
        return max(0.0, self._end - monotonic())

    def extended(self, timeout):
        """Return a Deadline that is at least ``timeout`` seconds away.

        It is ended together with this one.
        """
        if self.left() > timeout:
            return self
        later = Deadline(timeout)
        later._original = self._original
        return later

    def wait_for(self, condition, is_so):
        """Wait until ``is_so()``, with a Condition that is held, or no longer.

        Returns whether it is so.
        """
        while not is_so():
            left = self.left()
            if not left:
                return False
            condition.wait(min(SLICE, left))
        return True
