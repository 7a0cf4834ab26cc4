"""The waiting room of a site, as a process knows it.

What each look has counted, and what was admitted since. How many tasks each user has is
counted only when that may matter: all keys have to be looked at for it. So in a cluster
somewhat more may come in than is allowed.
"""

from collective.background.capture.users import current_user
from collective.background.database.shard import user_of
from collective.background.exceptions import QueueFull
from collective.background.scheduling.room import Counts
from collective.background.scheduling.room import Entrant
from collective.background.scheduling.room import is_bound
from math import inf
from zope.i18n import translate


UNSORTED = 8  # of a user's share, the part of this number comes in without that


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
    """``changed``: the Condition under which it is changed."""

    def __init__(self, changed):
        self._changed = changed
        self._counts = Counts()
        # Who has come in, and was not counted by a look: after how many looks had begun
        # he was committed; infinity: he is not yet.
        self._uncounted = {}
        self._looks = 0
        self._unsorted = inf  # how many came in since those of each user were counted

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
                self._unsorted = inf  # some may have left meanwhile
                raise
            self._counts.add(entrant.user, entrant.is_due)
            self._uncounted[entrant] = inf
            self._unsorted += 1

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

    def is_vague(self, settings):
        """Whether the tasks of each user are to be counted by the next look."""
        with self._changed:
            return self._unsorted > settings.share_of_waiting // UNSORTED

    def counted(self, counts, look, *, by_user):
        """A look has found Counts.

        ``look``: its number; ``by_user``: whether those of each user are among them.
        """
        with self._changed:
            for entrant, committed in list(self._uncounted.items()):
                if committed < look:
                    del self._uncounted[entrant]
                else:
                    counts.add(entrant.user, entrant.is_due)
            if by_user:
                self._counts = counts
                self._unsorted = 0
                return
            for is_due in (True, False):
                self._counts.set_whole(is_due, counts.whole(is_due))
