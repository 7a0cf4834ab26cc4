"""How fast a task is, and so how long it will still take: by what it reports.

Comes in: each report of an attempt. Goes out: seconds. Only what was done lately
counts, as the first items may be faster or slower than the others.
"""

from collections import deque
from time import monotonic


EVERY = 1.0  # seconds between two reports that are remembered, at the least
REMEMBERED = 30  # reports
LONGEST = 86_400 * 365  # seconds; what is left longer was not measured


class Pace:
    """Of one attempt; called in its thread."""

    def __init__(self):
        self._reports = deque(maxlen=REMEMBERED)  # (moment, done)
        self._total = None

    def seconds_left(self, done, total):
        """Return the seconds that are left, an int; None if nobody knows.

        ``done``, ``total``: as in a Progress. Where something else begins to be
        counted, nothing is known of that before.
        """
        now = monotonic()
        reports = self._reports
        if total != self._total or (reports and done < reports[-1][1]):
            reports.clear()
            self._total = total
        if not reports or now - reports[-1][0] >= EVERY:
            reports.append((now, done))
        since, before = reports[0]
        if total is None or not before < done < total or now - since < EVERY:
            return None
        seconds = (now - since) * (total - done) / (done - before)
        return round(seconds) if seconds <= LONGEST else None
