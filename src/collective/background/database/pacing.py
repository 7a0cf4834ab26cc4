"""Pacing: when a process looks at its database again.

At once when somebody here says so, soon when somebody else has committed something, and
after a while in any case. To wake up is most of what an instance without work costs.
"""

from math import inf
from time import monotonic
from ZODB.interfaces import IMVCCStorage


# Where the storage tells by itself what others have committed (ZEO, and a storage of
# this process alone), it is seen after a GLANCE, elsewhere after a LOOK.
GLANCE = 0.1  # seconds between two questions whether anything was committed
LOOK = 1.0  # seconds between two looks at the database, if there is a reason for any
PACE = 0.01  # seconds between two looks, at the least
PATIENCE = 0.1  # seconds that an end may wait to be written, if others go on meanwhile
BRISK = 0.005  # seconds until one looks how far workers of Celery are, at least
BRIEF = 0.5  # seconds for which what runs here may be told of by who has sent it


class Pacing:
    """- ``database``: that of Zope; ``changed``: a Condition, of which this is part
    - ``has_ended()``: whether to wait for nothing any more
    """

    def __init__(self, database, changed, has_ended):
        self._database = database
        self._changed = changed
        self._has_ended = has_ended
        self._look_at = 0.0  # when somebody wants a look, at the latest

    def wake_up(self, within=0.0):
        """There may be something new in the database. In any thread.

        ``within``: how many seconds that may wait.
        """
        with self._changed:
            self._look_at = min(self._look_at, monotonic() + within)
            self._changed.notify_all()

    def rest(self, seconds):
        """Wait, whoever wants to wake us up."""
        with self._changed:
            self._changed.wait_for(self._has_ended, seconds)

    def sleep(self, seconds):
        """Wait until somebody wakes us up, but no longer."""
        self._is_woken(monotonic() + seconds)

    def wait(self, seen, longest, is_busy):
        """Wait until it is time for the next look.

        ``seen``: what ``last_transaction`` was at the last one; ``longest``: seconds;
        ``is_busy``: whether there is a reason to look before that.
        """
        until = monotonic() + min(LOOK if is_busy or seen is None else inf, longest)
        glance = LOOK if seen is None else GLANCE
        while not self._is_woken(min(until, monotonic() + glance)):
            if monotonic() >= until or (seen and self.last_transaction() != seen):
                return

    def _is_woken(self, end):
        """Wait, and return whether somebody has woken us up, and it is time."""
        with self._changed:
            while True:
                now = monotonic()
                if self._has_ended():
                    return True
                if self._look_at <= now:
                    self._look_at = inf
                    return True
                if end <= now:
                    return False
                self._changed.wait(min(end, self._look_at) - now)

    def last_transaction(self):
        """Return the id of the last transaction of all instances, or None."""
        if IMVCCStorage.providedBy(self._database.storage):
            # It has a snapshot for each connection. The one for this question would
            # never be given up, and with it the storage keeps all that came since.
            return None
        return self._database.lastTransaction()
