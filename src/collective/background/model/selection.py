"""Which tasks are wanted, and in which order: the filters of ``records()``.

The same for every scheduler. What is filtered has the attributes of a TaskRecord.
"""

from collective.background.exceptions import BadOption
from collective.background.model import states
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from zope.i18n import translate


# What can be sorted by.
SORT_KEYS = {
    "created": lambda task: task.created,
    "started": lambda task: (task.started is not None, task.started),
    "finished": lambda task: (task.finished is not None, task.finished),
    "title": lambda task: translate(task.title).lower(),
    "user_id": lambda task: (task.user_id or "").lower(),
    "queue": lambda task: task.queue,
    "state": lambda task: states.STATES.index(task.state),
    "priority": lambda task: task.priority,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Filters; None means any.

    - ``states``: an iterable of states, or one; the next ones are compared for
      equality
    - ``text``: is somewhere in title, callable, path of the context, id of the user,
      of the task or of its error; upper and lower case are the same
    - ``callable``: its name, or the end of it after a dot or a slash
    - ``below``: a path; the context is there, or somewhere below
    - ``error``: the dotted name of the class of the exception with which it failed
    - ``created_after``: an aware datetime
    - ``dismissed``: whether the user does not want to see it any more
    - ``among``: how many are looked at, the newest ones of those that have the states,
      the user, site and queue; so that what it costs has a bound
    - ``sort_on``: a name of SORT_KEYS; of equal ones the newest comes first.
      ``descending``: the other way round

    Raises BadOption.
    """

    states: frozenset | None = None
    user_id: str | None = None
    user_path: str | None = None
    site_path: str | None = None
    context_path: str | None = None
    queue: str | None = None
    group_id: str | None = None
    text: str | None = None
    callable: str | None = None
    below: str | None = None
    error: str | None = None
    created_after: datetime | None = None
    dismissed: bool | None = None
    among: int | None = None
    sort_on: str = "created"
    descending: bool = True

    def __post_init__(self):
        object.__setattr__(self, "states", _check_states(self.states))
        if self.created_after is not None and self.created_after.utcoffset() is None:
            raise BadOption(
                f"created_after is {self.created_after!r}; it must have a time zone"
            )
        if self.sort_on not in SORT_KEYS:
            raise BadOption(
                f"sort_on is {self.sort_on!r}; it must be one of {', '.join(SORT_KEYS)}"
            )
        if self.text:
            object.__setattr__(self, "text", self.text.lower())

    @property
    def is_coarse(self):
        """Whether states, user, site and queue tell all, which an index knows."""
        return (
            self.context_path is None
            and self.group_id is None
            and not self.text
            and self.callable is None
            and self.below is None
            and self.error is None
            and self.created_after is None
            and self.dismissed is None
        )

    def limited(self, number):
        """Return how many of so many that there are can be looked at."""
        return number if self.among is None else min(number, self.among)

    def matches(self, task):
        """Whether a task is wanted that has the states, user, site and queue."""
        return (
            self.context_path in (None, task.context_path)
            and self.group_id in (None, task.group_id)
            and self.dismissed in (None, task.dismissed)
            and (self.created_after is None or task.created > self.created_after)
            and (self.callable is None or self._is_called(task))
            and (self.below is None or self._is_below(task))
            and (self.error is None or self._has_failed_so(task))
            and (not self.text or self._is_in(task))
        )

    def _is_called(self, task):
        start, name = task.callable[: -len(self.callable)], self.callable
        return task.callable == start + name and start[-1:] in ("", ".", "/")

    def _is_below(self, task):
        return f"{task.context_path or ''}/".startswith(f"{self.below}/")

    def _has_failed_so(self, task):
        error = task.error
        return error is not None and error.type == self.error

    def _is_in(self, task):
        texts = (
            *(translate(task.title), task.callable, task.context_path),
            *(task.user_id, task.id, task.error and task.error.id),
        )
        return any(self.text in text.lower() for text in texts if text)

    def pick(self, tasks):
        """Return an iterable of the wanted tasks in their order.

        ``tasks``: those with the states, user, site and queue, the newest first.
        """
        if self.among is not None:
            tasks = islice(tasks, self.among)
        if not self.is_coarse:
            tasks = filter(self.matches, tasks)
        if self.sort_on != "created":
            key = SORT_KEYS[self.sort_on]
            return sorted(tasks, key=key, reverse=self.descending)
        return tasks if self.descending else reversed(list(tasks))


def _check_states(wanted):
    """Return a set of states; all of them for None."""
    if wanted is None:
        return frozenset(states.STATES)
    wanted = frozenset({wanted} if isinstance(wanted, str) else wanted)
    unknown = sorted(wanted.difference(states.STATES))
    if unknown:
        raise BadOption(
            f"there is no state {', '.join(map(repr, unknown))}; there are: "
            + ", ".join(states.STATES)
        )
    return wanted
