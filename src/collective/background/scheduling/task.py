"""A task as the scheduler keeps it: what changes, and what it will run."""

from collective.background.capture.call import BATCH
from collective.background.capture.describing import describe_arguments
from collective.background.model import states
from collective.background.model.conflicts import locks_of
from collective.background.model.records import Progress
from collective.background.model.records import TaskRecord
from collective.background.scheduling.endings import standing_of
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from itertools import count
from time import monotonic
from zope.i18n import translate

import secrets


LOG_LINES = 200

NOTHING = frozenset()  # one for all

_numbers = count()


class Task:
    """Changed by the scheduler only, which holds its lock meanwhile.

    What a TaskRecord has as well has the same name. Besides that:

    - ``number``: of the tasks of the process, in the order of their making
    - ``call``, ``snapshot``, ``database`` and ``options``: what to run, see
      ``capture/``; ``callbacks``: Calls by the state for which they are meant
    - ``not_before``: of the monotonic clock (seconds)
    - ``group``: the Group to which it belongs, or None
    - ``after``: ids of tasks and groups that have still to succeed before, a set
    - ``failures``: how many runs have failed; ``outages``, ``conflicts``: how many of
      the last ones have ended as the database was away, and with conflicts, which are
      no failures
    - ``began``: when its last attempt was begun
    - ``lines``: how many lines it has logged so far
    - ``cursor`` and ``batch_failures``: how far a batch is
    - ``committed``: whether the transaction that scheduled it is
    - ``is_stopping``: a batch is to stop after the transaction at hand, as its process
      ends
    - ``superseded``: another instance has taken it over, so this run is to end
    - ``is_bound``: whether its user may have no more than a share
    - ``weighed``: how many bytes were counted of it, see ``memory/weight.py``
    - ``forget``: remove the task as soon as it has ended
    - ``keep``: for how long it is kept then (seconds)
    """

    __slots__ = (
        "_arguments",
        "after",
        "attempts",
        "batch_failures",
        "began",
        "call",
        "callbacks",
        "cancel_requested",
        "committed",
        "conflicts",
        "created",
        "cursor",
        "database",
        "dismissed",
        "error",
        "exception",
        "failures",
        "finished",
        "forget",
        "group",
        "id",
        "interventions",
        "is_bound",
        "is_stopping",
        "keep",
        "lines",
        "log",
        "messages",
        "not_before",
        "number",
        "options",
        "outages",
        "progress",
        "result",
        "snapshot",
        "started",
        "state",
        "superseded",
        "timeline",
        "weighed",
    )

    def __init__(
        self, call, snapshot, database, options, keep, callbacks=None, group=None
    ):
        self.id = secrets.token_hex(16)
        self.number = next(_numbers)
        self.call = call
        self.snapshot = snapshot
        self.database = database
        self.options = options
        self.state = states.QUEUED
        self.created = datetime.now(UTC)
        self.started = self.began = self.finished = None
        self.not_before = monotonic() + options.seconds_to_wait(self.created)
        self.callbacks = callbacks or {}
        self.group = group
        self.after = set(options.after)
        self.attempts = self.failures = self.outages = self.conflicts = self.lines = 0
        self.committed = self.cancel_requested = self.forget = self.is_bound = False
        self.weighed = None
        self.dismissed = self.superseded = self.is_stopping = False
        self.keep = keep
        self._arguments = None
        self.progress = Progress()
        self.messages = self.log = self.timeline = self.interventions = ()
        self.result = self.exception = self.error = None
        self.cursor = 0
        self.batch_failures = ()

    @property
    def unique_key(self):
        """What of which only one task may be unfinished, or None."""
        unique = self.options.unique
        return None if unique is None else (self.snapshot.site_path, unique)

    @property
    def locks(self):
        """The texts of which only one task of the site at a time may run, a tuple."""
        return (*self.options.lock, *locks_of(self.callable, self.conflicts))

    @property
    def site_path(self):
        return self.snapshot.site_path

    @property
    def user_id(self):
        return self.snapshot.user.id

    @property
    def user_path(self):
        return self.snapshot.user.folder

    @property
    def context_path(self):
        return self.call.context_path

    @property
    def context_uid(self):
        return self.call.context_uid

    @property
    def callable(self):
        return self.call.name

    @property
    def queue(self):
        return self.options.queue

    @property
    def priority(self):
        return self.options.priority

    @property
    def group_id(self):
        return None if self.group is None else self.group.id

    @property
    def kind(self):
        return self.call.kind

    @property
    def standing(self):
        """Its ending, see ``endings``, or its state until then."""
        return standing_of(self)

    @property
    def is_spent(self):
        """Whether nothing is left with which it could run again."""
        return self.call.package is None

    @property
    def eta(self):
        """When it may start, if that is not now."""
        seconds = self.not_before - monotonic()
        if seconds <= 0 or self.state not in states.WAITING:
            return None
        try:
            return datetime.now(UTC) + timedelta(seconds=seconds)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)

    @property
    def arguments(self):
        """What the call is called with, as (name, text) of each argument."""
        call = self.call  # before: release() takes away what is to be described
        if self._arguments is None and call.package is not None:
            return describe_arguments(call)
        return self._arguments or ()

    def keep_arguments(self):
        """Remember them, for after ``release()``."""
        self._arguments = self.arguments

    @property
    def title(self):
        return self.options.title or self.call.name

    @property
    def plain_title(self):
        """The title for logs and the like, which have no language."""
        return translate(self.title)

    def record(self, instance):
        """Return the TaskRecord of this moment. ``instance``: the process."""
        return TaskRecord(
            id=self.id,
            title=self.title,
            state=self.state,
            kind=self.kind,
            callable=self.callable,
            queue=self.queue,
            priority=self.priority,
            user_id=self.user_id,
            user_path=self.user_path,
            site_path=self.site_path,
            context_path=self.context_path,
            context_uid=self.context_uid,
            created=self.created,
            started=self.started,
            finished=self.finished,
            attempts=self.attempts,
            cancel_requested=self.cancel_requested,
            progress=self.progress,
            messages=tuple(self.messages),
            error=self.error,
            has_result=self.result is not None,
            log=tuple(self.log),
            instance=instance,
            group_id=self.group_id,
            eta=self.eta,
            dismissed=self.dismissed,
            after=tuple(sorted(self.after)),
            is_spent=self.is_spent,
            began=self.began if self.state == states.RUNNING else None,
            timeline=self.timeline,
            interventions=self.interventions,
        )

    def reset(self):
        """Forget how the last run has ended; a batch keeps its cursor."""
        if self.result is not None:
            self.result.close()
        self.started = self.finished = None
        self.result = self.exception = self.error = None
        self.messages = ()
        self.failures = self.outages = self.conflicts = 0
        self.not_before = 0.0
        self.cancel_requested = self.dismissed = False
        if self.call.kind != BATCH:
            self.progress = Progress()

    def release(self):
        """Give back what only another run would need."""
        self.call.close()
        self.snapshot.close()
        self.call = replace(self.call, package=None, view=None, items=())
        self.snapshot = replace(self.snapshot, request=None)
        self.callbacks = {}
        self.after = NOTHING
        self.database = None

    def close(self):
        """Give back memory and temporary files."""
        self.call.close()
        self.snapshot.close()
        if self.result is not None:
            self.result.close()
