"""The settings of the process.

They come from the section ``<product-config collective.background>`` of
``zope.conf``, or from environment variables, which win (``concurrency`` is
``BACKGROUND_CONCURRENCY``). Read by the scheduler when it is first used, since
Zope knows its configuration only after the utilities were registered.
"""

from App.config import getConfiguration
from collective.background.exceptions import BadOption
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from difflib import get_close_matches
from math import inf
from types import MappingProxyType
from ZConfig.datatypes import asBoolean
from ZConfig.datatypes import stock_datatypes

import os
import re


byte_size = stock_datatypes["byte-size"]

SECTION = "collective.background"
SECTION_OF = f"<product-config {SECTION}>"
PREFIX = "BACKGROUND_"
NEARLY = 0.85  # of 1; what is less alike may be a variable of another program
DEFAULT_QUEUE = "default"
MAIL_QUEUE = "mail"  # of ``notify="mail"``
ROLES = ("all", "web", "worker")
SHARES = 4  # one user has no more than one of them
MIN_LEASE = 1.0  # seconds; a garbage collection or a slow disk is no death
MICROSECOND = 0.000001  # what Python counts the switch interval in

# Names of queues become part of those of threads, and of addresses.
NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,63}\Z")


class Size(int):
    """A number of bytes. ``text``: "256MB", "1gb" or a plain number.

    Raises ValueError for anything else.
    """

    def __new__(cls, text):
        return super().__new__(cls, byte_size(str(text)))


MAX_BYTES = Size("256MB")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What can be set for a process; the README has the same table.

    - ``concurrency``: slots of the queue "default" (threads at once)
    - ``queues``: further queues and their slots, ``{"imports": 1}``; "mail" is there
      anyway, with one
    - ``limits``: how many tasks of a queue may run at once of each site, in all
      instances together, ``{"imports": 1}``; a queue that is not there has none. It may
      be that of another instance
    - ``max_waiting``: how many tasks may wait for a slot, over all queues;
      ``max_waiting_per_user``: how many of one user; None: a quarter of them.
      Managers and Zope itself are bound by the whole only
    - ``max_delayed``: how many more may wait that are not due, as they are delayed, or
      wait for others or for their next attempt; a quarter for one user
    - ``max_bytes``: how many bytes tasks in memory keep (arguments, uploads, results
      and the like, in memory and on disk); a quarter for one user
    - ``keep``: how long a finished task is kept (seconds), if its site does not say
    - ``keep_count``: how many finished tasks are kept
    - ``drain_timeout``: how long a stopping process waits for tasks (seconds)
    - ``conflict_attempts``: how often a task that goes on to conflict runs alone
    - ``polite_wait``: how long a task waits for visitors at a cancellation point,
      at the most (seconds); 0 switches it off
    - ``handle_signals``: whether SIGTERM and SIGINT wait for tasks before the
      process stops
    - ``role``: "all"; "web" leaves the tasks of persistent schedulers to other
      instances, "worker" says that visitors are not sent here
    - ``lease``: after how long a silence another instance counts as dead (seconds)
    - ``deployment``: the name of what this process is part of; it leaves the tasks of
      sites alone that belong to another one. None: to any
    - ``switch_interval``: for ``sys.setswitchinterval()`` (seconds); None leaves
      Python's

    Raises BadOption, with the name and the value, for what is out of range.
    """

    concurrency: int = 2
    queues: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)
    max_waiting: int = 10_000
    max_waiting_per_user: int | None = None
    max_delayed: int = 10_000
    max_bytes: Size = MAX_BYTES
    keep: float = 3600.0
    keep_count: int = 10_000
    drain_timeout: float = 5.0
    conflict_attempts: int = 3
    polite_wait: float = 0.05
    switch_interval: float | None = None
    handle_signals: bool = True
    role: str = "all"
    lease: float = 60.0
    deployment: str | None = None

    def __post_init__(self):
        for name in ("concurrency", "conflict_attempts"):
            _check(name, getattr(self, name), 1)
        for name in ("max_waiting", "max_delayed", "max_bytes"):
            _check(name, getattr(self, name), 1)
        if self.max_waiting_per_user is not None:
            _check("max_waiting_per_user", self.max_waiting_per_user, 1)
        for name in ("keep", "keep_count", "drain_timeout", "polite_wait"):
            _check(name, getattr(self, name), 0)
        if self.role not in ROLES:
            raise BadOption(
                f"role is {self.role!r}; it must be one of {', '.join(ROLES)}"
            )
        _check("lease", self.lease, MIN_LEASE)
        if self.deployment is not None and not NAME.match(self.deployment):
            raise BadOption(
                f"deployment is {self.deployment!r}; it must be a name: letters, "
                "digits, '-', '_' and '.', the first one a letter"
            )
        if self.switch_interval is not None:
            _check("switch_interval", self.switch_interval, MICROSECOND)
        for name in ("queues", "limits"):
            _check_queues(name, getattr(self, name))
        object.__setattr__(self, "limits", MappingProxyType(dict(self.limits)))
        slots = {DEFAULT_QUEUE: self.concurrency, MAIL_QUEUE: 1, **self.queues}
        object.__setattr__(self, "queues", MappingProxyType(slots))

    @property
    def share_of_waiting(self):
        """How many tasks of one user may wait for a slot."""
        return self.max_waiting_per_user or share_of(self.max_waiting)


def share_of(whole):
    """Return how much of a whole number is for one user, if nothing else is set."""
    return -(-whole // SHARES)


def _check_queues(name, numbers):
    """Raise BadOption for a setting of numbers by the names of queues."""
    for queue, number in numbers.items():
        if not NAME.match(queue):
            raise BadOption(
                f"{name}: {queue!r} is not a queue name; letters, digits, "
                "'-', '_' and '.' are, the first one a letter"
            )
        _check(f"{name}: {queue}", number, 1)


def _check(name, value, minimum):
    if not minimum <= value < inf:  # this refuses "nan" as well
        raise BadOption(
            f"{name} is {value!r}; it must be a number of at least {minimum}"
        )


def parse_queues(text):
    """Return ``{"imports": 1, "mail": 4}`` for ``"imports=1 mail=4"``."""
    queues = {}
    for item in text.split():
        name, _, number = item.partition("=")
        if name in queues:
            raise BadOption(f"{text!r} has {name} twice; give it once")
        queues[name] = int(number)
    return queues


PARSERS = {
    int: ("a whole number", int),
    int | None: ("a whole number", int),
    Size: ("a number of bytes, like '256MB'", Size),
    float: ("a number of seconds", float),
    float | None: ("a number of seconds", float),
    bool: ("'on' or 'off'", asBoolean),
    str: ("a word", str.strip),
    str | None: ("a word", str.strip),
    dict: ("a list like 'imports=1 mail=4'", parse_queues),
}


def load_settings(environ=os.environ):
    """Return the Settings of this process.

    ``environ``: the environment variables.
    Raises BadOption when a value cannot be read, or a name is unknown; or of a variable
    nearly the name of a setting. It says where that is from.
    """
    product_config = getattr(getConfiguration(), "product_config", None) or {}
    section = product_config.get(SECTION, {})
    known = {setting.name: setting for setting in fields(Settings)}
    unknown = sorted(set(section) - set(known))
    if unknown:
        raise BadOption(
            f"{SECTION_OF} has no setting {', '.join(unknown)}; "
            f"there are: {', '.join(known)}"
        )
    _check_variables(environ, [name.upper() for name in known])
    values = {}
    for name, setting in known.items():
        variable = PREFIX + name.upper()
        if variable in environ:
            values[name] = _read(setting, environ[variable], variable)
        elif name in section:
            values[name] = _read(setting, section[name], SECTION_OF)
    return Settings(**values)


def _check_variables(environ, known):
    """Raise BadOption for a variable that is hardly another's."""
    for name in sorted(environ):
        given = name.removeprefix(PREFIX)
        if given == name or given in known:
            continue
        for nearest in get_close_matches(given, known, n=1, cutoff=NEARLY):
            raise BadOption(
                f"the environment variable {name} is no setting; did you mean "
                f"{PREFIX}{nearest}?"
            )


def _read(setting, text, source):
    """Return the value of a setting. Raises BadOption."""
    expected, parse = PARSERS[setting.type]
    try:
        value = parse(text)
        Settings(**{setting.name: value})  # what is out of range
    except BadOption as error:
        raise BadOption(f"{source}: {error}") from error
    except ValueError as error:
        raise BadOption(
            f"{source}: {setting.name} is {text!r}; expected {expected}"
        ) from error
    return value
