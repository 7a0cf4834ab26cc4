"""The options of ``using()`` and ``@task``: what can be said besides the call."""

from Acquisition import aq_base
from collections.abc import Callable
from collective.background.exceptions import BadOption
from collective.background.exceptions import UnknownOption
from collective.background.model.config import DEFAULT_QUEUE
from collective.background.model.messages import portable_text
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from difflib import get_close_matches
from math import inf
from math import isfinite


MAX_BACKOFF = 3600.0  # seconds
NOTIFICATIONS = ("mail",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Checked options. Times are seconds.

    - ``title``: for people; None: the name of the callable
    - ``queue``: the name of a queue of the process
    - ``priority``: a higher one starts first (an int)
    - ``user``: a user id instead of the current user; for trusted code only
    - ``delay``: do not start before so many seconds have passed
    - ``eta``: do not start before this time, an aware datetime
    - ``retries``: how often to try again after an error that is no conflict
    - ``backoff``: how long to wait before that, doubled each time, at the most
    - ``retry_on``, ``give_up_on``: exception classes to which ``retries`` applies,
      or does not
    - ``unique``: a key; while an unfinished task has it, no other is scheduled
    - ``timeout``: stop at the first cancellation point after so many seconds
    - ``after``: ids of tasks that must have succeeded before
    - ``on_success``, ``on_failure``: called with the record, as tasks of their own
    - ``rerun``: whether a task is run again when its instance has died meanwhile;
      where tasks live in the memory of a process, they die with it
    - ``notify``: how the user is told that it has succeeded or failed: "mail"
    - ``context``: the content at which people see it; None: what it works on. For the
      time of the scheduling only, tasks have its path

    Raises BadOption for a value that cannot be used.
    """

    title: str | Callable | None = None
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    user: str | None = None
    delay: float = 0.0
    eta: datetime | None = None
    retries: int = 0
    backoff: float = 5.0
    retry_on: tuple = (Exception,)
    give_up_on: tuple = ()
    unique: str | Callable | None = None
    timeout: float = inf
    after: tuple = ()
    on_success: Callable | None = None
    on_failure: Callable | None = None
    notify: str | None = None
    rerun: bool = False
    context: object = None

    def __post_init__(self):
        _check("title", self.title, _is_text_or_callable, "a text")
        object.__setattr__(self, "title", portable_text(self.title))
        _check("queue", self.queue, _is_text, "the name of a queue")
        _check("priority", self.priority, _is_whole, "a whole number")
        _check("user", self.user, _is_text_or_none, "the id of a user")
        _check("delay", self.delay, _is_duration, "seconds, not less than 0")
        _check("eta", self.eta, _is_aware, "a datetime with a time zone")
        _check("retries", self.retries, _is_count, "a whole number, not less than 0")
        _check("backoff", self.backoff, _is_duration, "seconds, not less than 0")
        _check("unique", self.unique, _is_text_or_callable, "a text")
        _check("timeout", self.timeout, _is_timeout, "seconds, more than 0")
        _check("rerun", self.rerun, _is_bool, "True or False")
        _check("context", self.context, _is_content_or_callable, "content")
        for name in ("on_success", "on_failure"):
            _check(name, getattr(self, name), _is_callable_or_none, "a function")
        if self.notify not in (None, *NOTIFICATIONS):
            raise BadOption(
                f"notify is {self.notify!r}; "
                + _suggest(self.notify, NOTIFICATIONS, "it must be one of:")
            )
        for name in ("retry_on", "give_up_on"):
            self._set_tuple(name, _is_exception, "exception classes")
        self._set_tuple("after", _is_text, "the id of a task, or several")
        if self.delay and self.eta is not None:
            raise BadOption(
                f"delay is {self.delay!r} and eta is {self.eta!r}; give one of them"
            )

    def _set_tuple(self, name, is_good, expected):
        """Check an option of one value or several, and keep it as a tuple."""
        given = getattr(self, name)
        several = isinstance(given, list | tuple | set | frozenset)
        values = tuple(given) if several else (given,)
        _check(name, given, lambda given: all(map(is_good, values)), expected)
        object.__setattr__(self, name, values)

    def resolve(self, args, kwargs):
        """Return Options in which nothing depends on the arguments any more.

        Raises BadOption if a title or a key does not become a text, or a context no
        content.
        """
        resolved = {
            name: value(*args, **kwargs)
            for name in ("title", "unique", "context")
            if _is_function(value := getattr(self, name))
        }
        for name, value in resolved.items():
            is_good, expected = _RETURNED[name]
            _check(name, value, is_good, f"{expected}, which {name}(…) has to return")
        return replace(self, **resolved) if resolved else self

    @property
    def is_put_off(self):
        """Whether a task is not to start at once."""
        return bool(self.delay or self.eta is not None or self.after)

    def seconds_to_wait(self, now):
        """Return for how long a task must not start yet. ``now``: aware."""
        if self.eta is None:
            return float(self.delay)
        return max(0.0, (self.eta - now) / timedelta(seconds=1))


def make_options(options):
    """Return Options of a dictionary.

    Raises UnknownOption, with the nearest name, BadOption.
    """
    known = [option.name for option in fields(Options)]
    for name in options:
        if name not in known:
            raise UnknownOption(
                f"unknown option {name!r}; " + _suggest(name, known, "there are:")
            )
    return Options(**options)


def _suggest(given, known, words):
    """Return the nearest of the known names as a question, or all of them."""
    nearest = get_close_matches(str(given), known, n=1)
    if nearest:
        return f"did you mean {nearest[0]!r}?"
    return f"{words} {', '.join(known)}"


def _check(name, value, is_good, expected):
    if not is_good(value):
        raise BadOption(f"{name} is {value!r}; it must be {expected}")


def _is_bool(value):
    return isinstance(value, bool)


def _is_text(value):
    return isinstance(value, str)


def _is_text_or_none(value):
    return value is None or isinstance(value, str)


def _is_callable_or_none(value):
    return value is None or callable(value)


def _is_text_or_callable(value):
    return _is_text_or_none(value) or callable(value)


def _is_content(value):
    return hasattr(aq_base(value), "getPhysicalPath")


def _is_function(value):
    # Content can be called, too.
    return callable(value) and not _is_content(value)


def _is_content_or_callable(value):
    return value is None or _is_content(value) or callable(aq_base(value))


def _is_content_or_none(value):
    return value is None or _is_content(value)


# What a function of the arguments has to return.
_RETURNED = {
    "title": (_is_text, "a text"),
    "unique": (_is_text, "a text"),
    "context": (_is_content_or_none, "content or None"),
}


def _is_whole(value):
    # True is an int for Python, and a mistake for us.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value):
    return _is_whole(value) and value >= 0


def _is_duration(value):
    return _is_whole_or_float(value) and isfinite(value) and value >= 0


def _is_timeout(value):
    return _is_whole_or_float(value) and value > 0


def _is_whole_or_float(value):
    return isinstance(value, float) or _is_whole(value)


def _is_aware(value):
    return value is None or (
        isinstance(value, datetime) and value.utcoffset() is not None
    )


def _is_exception(value):
    return isinstance(value, type) and issubclass(value, Exception)
