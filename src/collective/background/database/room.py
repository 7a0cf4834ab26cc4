"""The waiting room of a site, as a process knows it.

What was counted last, and what was admitted since. How many tasks a user has is counted
only where that may matter, so in a cluster somewhat more may come in than is allowed.
"""

from collections import Counter
from collective.background.capture.users import current_user
from collective.background.database.shard import user_of
from collective.background.exceptions import QueueFull
from collective.background.scheduling.room import Counts
from collective.background.scheduling.room import Entrant
from collective.background.scheduling.room import is_bound
from math import inf
from zope.i18n import translate


COUNTING = 1.0  # seconds between two counts of what waits
SELDOM = 10.0  # the same where little comes in; much of the index has to be loaded
UNCOUNTED = 8  # of a user's share, the part of this number comes in without a count


def entrant(record, *, after, is_bound):
    """Return the Entrant for a TaskRecord, or a StoredTask.

    ``after``: ids of those that it waits for; ``is_bound``: see there.
    """
    return Entrant(
        title=translate(record.title),
        user=user_of(record.user_path, record.user_id),
        is_due=not after and record.eta is None,
        is_bound=is_bound,
    )


def entrant_now():
    """Return the Entrant for a task that the current user schedules for at once."""
    user = current_user()
    key = user_of(user.folder, user.id)
    return Entrant(title="", user=key, is_due=True, is_bound=is_bound())


class Room:
    """``changed``: the Condition under which it is changed.

    ``is_counted``: whether that was done, so that it knows who waits.
    """

    def __init__(self, changed):
        self._changed = changed
        self.is_counted = False
        self._counts = Counts()
        # Who has come in, and was not counted by a look: after how many looks had begun
        # he was committed; infinity: he is not yet.
        self._uncounted = {}
        self._looks = 0
        self._since = Counter()  # how many of a user came in since his were counted

    def waiting(self):
        """Return how many tasks wait, for whatever, or are reserved."""
        with self._changed:
            return self._counts.whole(True) + self._counts.whole(False)

    # For requests, in any thread.

    def admit(self, entrant, settings):
        """Let an Entrant in, whose transaction may still abort. Raises QueueFull."""
        with self._changed:
            try:
                self._counts.check(entrant, settings)
            except QueueFull:
                self._since[entrant.user] = inf  # some may have left meanwhile
                raise
            self._counts.add(entrant.user, entrant.is_due)
            self._uncounted[entrant] = inf
            self._since[entrant.user] += 1

    def committed(self, entrant):
        """The transaction of an Entrant is committed."""
        with self._changed:
            if entrant in self._uncounted:
                self._uncounted[entrant] = self._looks

    def leave(self, entrant):
        """The transaction of an Entrant was aborted, perhaps before he came in."""
        with self._changed:
            if self._uncounted.pop(entrant, None) is not None:
                self._counts.add(entrant.user, entrant.is_due, -1)

    # For looks.

    def begin_look(self):
        """A look begins, and sees all that is committed; return its number."""
        with self._changed:
            self._looks += 1
            return self._looks

    def whose(self, settings):
        """Return the users whose tasks are to be counted the next time, a set.

        Those of whom many have come in, and those who have much of their share.
        """
        share = settings.share_of_waiting
        with self._changed:
            many = {
                user
                for user, number in self._since.items()
                if number > share // UNCOUNTED
            }
            return many | self._counts.users(share // 2)

    def counted(self, counts, look, users):
        """A look has found Counts.

        ``look``: its number; ``users``: whose tasks were counted, too.
        """
        with self._changed:
            self.is_counted = True
            for entrant, committed in list(self._uncounted.items()):
                if committed < look:
                    del self._uncounted[entrant]
                else:
                    counts.add(entrant.user, entrant.is_due)
            if not (counts.whole(True) or counts.whole(False)):
                self._counts, self._since = counts, Counter()  # nobody is there
                return
            for user in users:
                del self._since[user]
            self._counts.update(counts, users)
