"""The waiting room: how many tasks may wait, in all and of each user.

What is not due is counted apart, and has a bound of its own: it is delayed, or waits
for other tasks or for its next attempt. Comes in: a task that wants to wait, and how
many do. Goes out: QueueFull. Used by the schedulers, in memory and in the database.
"""

from AccessControl import getSecurityManager
from collections import Counter
from collective.background.exceptions import QueueFull
from collective.background.model.config import share_of
from dataclasses import dataclass
from zope.component.hooks import getSite
from zope.globalrequest import getRequest


MANAGE = "Manage background tasks"

_ALL = object()  # instead of a user


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Entrant:
    """A task that wants to wait; each is another one.

    - ``title``: without a language; ``user``: tells its user from others, hashable
    - ``is_due``: whether it is to wait for nothing but a slot
    - ``is_bound``: whether it may have no more than the share of its user; see there
    """

    title: str
    user: object
    is_due: bool
    is_bound: object


def is_bound():
    """Whether who acts now may have no more than the share of a user.

    Not so managers of background tasks, Zope itself, and scripts. It costs more than
    the rest of a ``schedule()`` to find out, so that is done when somebody wants to
    know: returned is False, or what is true or false.
    """
    return False if getRequest() is None else _Bound(getSecurityManager(), getSite())


class _Bound:
    """Asks once, in the transaction of who acts. ``manager``: his SecurityManager."""

    __slots__ = ("_answer", "_manager", "_site")

    def __init__(self, manager, site):
        self._manager, self._site = manager, site
        self._answer = None

    def __bool__(self):
        if self._answer is None:
            self._answer = not self._manager.checkPermission(MANAGE, self._site)
        return self._answer


class Counts:
    """How many tasks wait: in all, and of each user; by whether they are due."""

    def __init__(self):
        self._numbers = {True: Counter(), False: Counter()}

    def add(self, user, is_due, number=1):
        """So many more of a user wait; or less, if ``number`` is negative."""
        numbers = self._numbers[is_due]
        for key in (_ALL, user):
            numbers[key] += number
            if not numbers[key]:
                del numbers[key]

    def whole(self, is_due):
        """Return how many wait in all."""
        return self._numbers[is_due][_ALL]

    def set_whole(self, is_due, number):
        """So many wait in all, as far as is known now; those of users stay."""
        self._numbers[is_due][_ALL] = number

    def users(self, number):
        """Return the users of whom more than so many wait, a set."""
        return {
            user
            for numbers in self._numbers.values()
            for user, each in numbers.items()
            if each > number and user is not _ALL
        }

    def update(self, counts, users):
        """So many wait in all, and of these users, as other Counts have it."""
        for is_due, numbers in self._numbers.items():
            for key in (_ALL, *users):
                numbers[key] = counts._numbers[is_due][key]
                if not numbers[key]:
                    del numbers[key]

    def check(self, entrant, settings):
        """Raise QueueFull unless there is room for an Entrant.

        ``settings``: the Settings of the process.
        """
        numbers = self._numbers[entrant.is_due]
        name, what = "max_waiting", "are waiting"
        if not entrant.is_due:
            name, what = "max_delayed", "wait for their time or for others"
        most = getattr(settings, name)
        _check(numbers[_ALL], most, f"tasks {what}", f"{name!r} allows", entrant.title)
        share, rule = settings.share_of_waiting, "'max_waiting_per_user' allows"
        if not entrant.is_due:
            share, rule = share_of(most), f"a quarter of {name!r} is"
        if numbers[entrant.user] >= share and entrant.is_bound:
            what = f"tasks of the same user {what}"
            _check(numbers[entrant.user], share, what, rule, entrant.title)


def _check(number, most, what, rule, title):
    if number >= most:
        raise QueueFull(
            f"{most} {what} already, and {rule} no more, so {title!r} was refused; "
            "try again later"
        )
