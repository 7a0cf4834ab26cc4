"""The options of ``using()`` and ``@task``: what can be said besides the call."""

from collections.abc import Callable
from collective.background.exceptions import BadOption
from collective.background.exceptions import UnknownOption
from collective.background.model.checks import check
from collective.background.model.checks import CHECKS
from collective.background.model.checks import is_exception
from collective.background.model.checks import is_function
from collective.background.model.checks import is_text
from collective.background.model.checks import RETURNED
from collective.background.model.config import DEFAULT_QUEUE
from collective.background.model.messages import portable_key
from collective.background.model.messages import portable_line
from collective.background.model.numbers import plain_number
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from difflib import get_close_matches
from math import inf


MAX_BACKOFF = 3600.0  # seconds
MAX_KEY = 1_000  # characters; longer ones would have to be cut, and be the same then
MAX_LOCKS = 20  # of a task, which takes them all at once
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
    - ``retry_on``, ``give_up_on``: exception classes to which ``retries`` applies, or
      does not; to TaskFailed only where that is named
    - ``unique``: a key; while an unfinished task has it, no other is scheduled
    - ``lock``: one or several texts; of all tasks of the site that have one of them,
      one runs at a time. A sorted tuple, of which the empty text is left out
    - ``timeout``: stop at the first cancellation point after so many seconds
    - ``hard_timeout``: be ended after so many seconds, wherever it is; a thread obeys
      it as ``timeout``, as nobody can stop it anywhere else
    - ``begin_by``: fail if it has not begun so many seconds after it was scheduled
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
    lock: str | tuple | Callable | None = ()
    timeout: float = inf
    hard_timeout: float = inf
    begin_by: float = inf
    after: tuple = ()
    on_success: Callable | None = None
    on_failure: Callable | None = None
    notify: str | None = None
    rerun: bool = False
    context: object = None

    def __post_init__(self):
        for name, (is_good, expected) in CHECKS.items():
            check(name, getattr(self, name), is_good, expected)
        if self.notify not in (None, *NOTIFICATIONS):
            raise BadOption(
                f"notify is {self.notify!r}; "
                + _suggest(self.notify, NOTIFICATIONS, "it must be one of:")
            )
        for name in ("retry_on", "give_up_on"):
            self._set_tuple(name, is_exception, "exception classes")
        self._set_tuple("after", is_text, "the id of a task, or several")
        self._set("after", tuple(map(portable_key, self.after)))
        self._make_plain()
        self._check_keys()
        if self.delay > self.begin_by:
            raise BadOption(
                f"delay is {self.delay!r} and begin_by is {self.begin_by!r}: it could "
                "not begin in time"
            )
        if self.delay and self.eta is not None:
            raise BadOption(
                f"delay is {self.delay!r} and eta is {self.eta!r}; give one of them"
            )

    def _make_plain(self):
        """Keep values of builtin classes, whatever classes have derived from these."""
        if isinstance(self.title, str):
            self._set("title", portable_line(self.title))
        for name in ("queue", "user", "unique", "notify"):
            if isinstance(getattr(self, name), str):
                self._set(name, portable_key(getattr(self, name)))
        for name in ("priority", "delay", "retries", "backoff"):
            self._set(name, plain_number(getattr(self, name)))
        for name in ("timeout", "hard_timeout", "begin_by"):
            if getattr(self, name) != inf:
                self._set(name, plain_number(getattr(self, name)))

        if not is_function(self.lock):
            several = (self.lock,) if isinstance(self.lock, str) else self.lock or ()
            self._set("lock", tuple(sorted(set(map(portable_key, several)) - {""})))

    def _check_keys(self):
        """Raise BadOption for what would have to be cut, and be the same then."""
        keys = {"unique": [self.unique], "lock": self.lock}
        for name, texts in keys.items():
            for text in () if is_function(texts) else texts:
                if isinstance(text, str) and len(text) > MAX_KEY:
                    raise BadOption(
                        f"{name} has {len(text)} characters, and may have {MAX_KEY}; "
                        "use a digest of it"
                    )
        if not is_function(self.lock) and len(self.lock) > MAX_LOCKS:
            raise BadOption(
                f"lock has {len(self.lock)} texts, and may have {MAX_LOCKS}; use one "
                "that stands for several"
            )

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _set_tuple(self, name, is_good, expected):
        """Check an option of one value or several, and keep it as a tuple."""
        given = getattr(self, name)
        several = isinstance(given, list | tuple | set | frozenset)
        values = tuple(given) if several else (given,)
        check(name, given, lambda given: all(map(is_good, values)), expected)
        self._set(name, values)

    def resolve(self, args, kwargs):
        """Return Options in which nothing depends on the arguments any more.

        Raises BadOption if a title or a key does not become a text, a lock no texts, or
        a context no content.
        """
        resolved = {
            name: value(*args, **kwargs)
            for name in ("title", "unique", "lock", "context")
            if is_function(value := getattr(self, name))
        }
        for name, value in resolved.items():
            is_good, expected = RETURNED[name]
            check(name, value, is_good, f"{expected}, which {name}(…) has to return")
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


class WithOptions:
    """A base class of callables that know how they are scheduled.

    - ``function``: what is called
    - ``options``: a dictionary of those that were given, as for ``using()``
    """

    function = None
    options = None


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
