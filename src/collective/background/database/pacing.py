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


class Pacing:
    """- ``database``: that of Zope; ``changed``: a Condition, of which this is part
    - ``has_ended()``: whether to wait for nothing any more
    """

    def __init__(self, database, changed, has_ended):
        self._database = database
        self._changed = changed
        self._has_ended = has_ended
        self._news_since = 0.0  # when somebody has woken us up; None: nobody
        self._is_urgent = True

    def wake_up(self, is_urgent=True):
        """There may be something new in the database. In any thread."""
        with self._changed:
            self._is_urgent |= is_urgent
            if self._news_since is None:
                self._news_since = monotonic()
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
                since = self._news_since
                if self._has_ended():
                    return True
                if since is not None:
                    if self._is_urgent or monotonic() - since >= PATIENCE:
                        self._news_since, self._is_urgent = None, False
                        return True
                    end = min(end, since + PATIENCE)
                left = end - monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)

    def last_transaction(self):
        """Return the id of the last transaction of all instances, or None."""
        if IMVCCStorage.providedBy(self._database.storage):
            # It has a snapshot for each connection. The one for this question would
            # never be given up, and with it the storage keeps all that came since.
            return None
        return self._database.lastTransaction()
