"""The right of a worker elsewhere to report on a task, and what it has reported last.

The token itself is nowhere in the database: who reads that cannot report.
"""

from collective.background.model.external import digest_of
from collective.background.model.external import LONGEST_TOKEN
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from hmac import compare_digest
from persistent import Persistent
from persistent.timestamp import TimeStamp


VERSION = 1
PACE = 0.2  # seconds between two reports, at the least


class External(Persistent):
    """What is known of a task that a worker elsewhere has. Times are aware, in UTC.

    Written by the thread that sends the task, and by reports; it is replaced when the
    task is sent again.

    - ``fence``: the number of the reservation with which it was sent
    - ``lease``: seconds of silence after which it is lost
    - ``expires``: when nobody may report any more; ``begin_until``: when nobody may
      begin it any more, or None: then as well
    - ``began``: when the worker has begun, or None
    - ``beat``: how many reports have come; ``heard``: when the last one did
    - ``run``, ``number``: of that, see ``ExternalReport``
    - ``worker``: how it calls itself, or ""
    """

    began = heard = begin_until = None
    run = worker = ""
    beat = number = 0

    def __init__(self, digest, fence, lifetime, lease, in_time=None):
        self.version = VERSION
        self._digest = digest
        self.fence = fence
        self.lease = lease
        now = datetime.now(UTC)
        self.expires = now + timedelta(seconds=lifetime)
        if in_time is not None:
            self.begin_until = now + timedelta(seconds=in_time)

    def is_valid(self, token):
        """Whether somebody with this text may report."""
        if len(token) > LONGEST_TOKEN or datetime.now(UTC) > self.expires:
            return False
        return compare_digest(self._digest, digest_of(token))

    def is_over(self, now):
        """Whether nobody may report any more, or begin it. ``now``: aware."""
        is_late = self.began is None and now > (self.begin_until or self.expires)
        return is_late or now > self.expires

    def is_early(self):
        """Whether the last report came a moment ago."""
        if self.heard is None:
            return False
        # Clocks may be set back.
        return 0 <= (datetime.now(UTC) - self.heard).total_seconds() < PACE

    def silent_for(self, now):
        """Return for how many seconds nothing was heard of the worker.

        ``now``: aware, by the clock of the database, as is what this was written by.
        """
        self._p_activate()  # or it has no serial
        return now.timestamp() - TimeStamp(self._p_serial).timeTime()

    def hear(self, report):
        """An ExternalReport has come; return False if it has come before."""
        self.beat += 1
        self.heard = datetime.now(UTC)
        self.began = self.began or self.heard
        self.worker = report.worker or self.worker
        if report.run == self.run and report.number <= self.number:
            return False
        self.run, self.number = report.run, report.number
        return True
