"""The waiting room of the tasks in memory.

Plain data, changed under the scheduler's lock only.
"""

from BTrees.OOBTree import OOBTree
from collective.background.capture.users import current_user
from collective.background.model import states
from collective.background.scheduling.room import Counts
from collective.background.scheduling.room import Entrant
from collective.background.scheduling.room import is_bound
from functools import lru_cache
from time import monotonic
from zope.component.hooks import getSite


def entrant(task, is_bound):
    """Return the Entrant for a Task. ``is_bound``: see there."""
    return Entrant(
        title=task.plain_title,
        user=user_of(task),
        is_due=_is_due(task),
        is_bound=is_bound,
    )


def entrant_now():
    """Return the Entrant for a task that the current user schedules for at once."""
    user, site = current_user(), getSite()
    path = None if site is None else "/".join(site.getPhysicalPath())
    return Entrant(
        title="", user=(path, user.folder, user.id), is_due=True, is_bound=is_bound()
    )


class Room:
    """Which tasks wait, and whether they are due."""

    def __init__(self):
        self._counts = Counts()
        self._places = {}  # (user, moment, number) by the id of the task
        self._later = OOBTree()  # users by (moment, number) of what is not due

    def check(self, entrant, settings):
        """Raise QueueFull if there is no room; see ``Counts``."""
        self._see_what_is_due()
        self._counts.check(entrant, settings)

    def enter(self, task, moment):
        """A task waits from now on, or for something else than before.

        ``moment``: when it is due (of the monotonic clock); infinity: not known.
        """
        self.leave(task)
        user = user_of(task)
        self._places[task.id] = user, moment, task.number
        is_due = moment <= monotonic()
        if not is_due:
            self._later[moment, task.number] = user
        self._counts.add(user, is_due)

    def leave(self, task):
        """A task does not wait any more, if it did."""
        place = self._places.pop(task.id, None)
        if place is not None:
            user, *key = place
            is_due = self._later.pop(tuple(key), None) is None
            self._counts.add(user, is_due, -1)

    def _see_what_is_due(self):
        now = monotonic()
        while self._later and (key := self._later.minKey())[0] <= now:
            user = self._later.pop(key)
            self._counts.add(user, False, -1)
            self._counts.add(user, True)


def _is_due(task):
    """Whether a task that is to wait from now on has a slot as its only wish."""
    if task.after:
        return False
    # Who tries a task again does not want it to wait for its time.
    return task.state in states.FINISHED or task.not_before <= monotonic()


def user_of(task):
    """Return what tells the user of a Task from others, hashable."""
    return _user(task.site_path, task.user_path, task.user_id)


@lru_cache(maxsize=1000)  # the tasks of a user share it
def _user(*key):
    return key
