"""The settings of the process.

How they are read is in ``loading.py``.
"""

from collective.background.exceptions import BadOption
from collective.background.model.brokers import check_broker
from dataclasses import dataclass
from dataclasses import field
from math import inf
from types import MappingProxyType
from ZConfig.datatypes import stock_datatypes

import re


byte_size = stock_datatypes["byte-size"]

DEFAULT_QUEUE = "default"
MAIL_QUEUE = "mail"  # of ``notify="mail"``
CELERY = "celery"  # the role of workers of Celery
ROLES = ("all", "web", "worker", CELERY)
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
      instances, "worker" says that visitors are not sent here, "celery" is that of
      workers of Celery
    - ``lease``: after how long a silence another instance counts as dead (seconds)
    - ``deployment``: the name of what this process is part of; it leaves the tasks of
      sites alone that belong to another one. None: to any
    - ``celery_broker``: the address of the broker by which workers of Celery get tasks
      of the database; None: there are none. It may have a password in it
    - ``celery_queues``: the names of the queues whose tasks in the database go there, a
      frozenset; None: all. Of no effect without a broker
    - ``silence``: after how many seconds without a report a task is lost that a worker
      elsewhere has
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
    celery_broker: str | None = field(default=None, repr=False)
    celery_queues: frozenset | None = None
    silence: float = 300.0

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
        _check("silence", self.silence, MIN_LEASE)
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
        if self.celery_broker is not None:
            check_broker(self.celery_broker)
            _check_names("celery_queues", self.celery_queues or (), self.queues)

    @property
    def queues_of_celery(self):
        """The names of the queues whose tasks in the database go to Celery."""
        if self.celery_broker is None:
            return frozenset()
        return frozenset(
            self.queues if self.celery_queues is None else self.celery_queues
        )

    @property
    def queues_of_threads(self):
        """The others, with their slots. Tasks in memory have the slots of all."""
        others = self.queues.keys() - self.queues_of_celery
        return {name: slots for name, slots in self.queues.items() if name in others}

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


def _check_names(name, names, queues):
    """Raise BadOption for a setting of names that are none of queues."""
    for queue in sorted(names):
        if queue not in queues:
            raise BadOption(
                f"{name}: there is no queue {queue!r}; there are: "
                f"{', '.join(queues)}; further ones are in the setting queues"
            )


def _check(name, value, minimum):
    if not minimum <= value < inf:  # this refuses "nan" as well
        raise BadOption(
            f"{name} is {value!r}; it must be a number of at least {minimum}"
        )
