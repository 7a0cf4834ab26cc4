"""The pulse of the watch: whether it sees what is in the database.

Noted by the thread of the watch; asked by whoever wants to know how the process is.
"""

from time import monotonic


class Pulse:
    """``longest``: how many seconds may lie between two looks."""

    def __init__(self, longest):
        self._longest = longest
        self._looked_at = None
        self._has_failed = False

    def looked(self):
        """The database was looked at."""
        self._looked_at = monotonic()
        self._has_failed = False

    def failed(self):
        """That was not possible; the log says why."""
        self._has_failed = True

    def trouble(self):
        """Return why nothing can be seen to, a text; None: all is well."""
        if self._has_failed:
            return "the database cannot be looked at, see the log"
        if self._looked_at is None:
            return "the database was not looked at yet"
        silence = monotonic() - self._looked_at
        if silence > self._longest:
            return f"the last look at the database was {silence:.0f} seconds ago"
        return None
