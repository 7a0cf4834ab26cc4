"""What is known of a task, and what it leaves: plain values, safe in any thread."""

from collective.background.model.messages import _
from collective.background.model.spool import Spool
from collective.background.model.states import can_be_retried
from collective.background.model.values import value
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from requests.structures import CaseInsensitiveDict


@value("progress")
@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a task is: ``done`` of ``total`` (None: not known), and a message.

    ``failed``: how many of the items of a batch that are done have failed.
    ``seconds_left``: how long the rest will take, an int, as it was when this was
    reported, by the pace of the last reports of this attempt; None: nobody knows.
    """

    done: int | float = 0
    total: int | float | None = None
    message: str = ""
    failed: int = 0
    seconds_left: int | None = None


@value("error")
@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorInfo:
    """An exception: dotted name of its class, its text, its traceback as text.

    ``id``: a short one, by which people find it in the log. ``public``: what the user
    of the task is told, a text or a Message; None: only that an error has happened.
    """

    type: str
    message: str
    traceback: str
    id: str = ""
    public: str | None = None

    @property
    def public_text(self):
        """What its user is told in any case, a text or a Message."""
        if self.public is not None:
            return self.public
        return _("An error has happened (${id}).", mapping={"id": self.id})


@value("message")
@dataclass(frozen=True, kw_only=True, slots=True)
class TaskMessage:
    """A message to the user; ``type`` is "info", "warning" or "error"."""

    text: str
    type: str = "info"


@value("task")
@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRecord:
    """What is known of a task at one moment. Times are aware, in UTC.

    - ``title``: for people; ``callable``: dotted name, path of a view, address
    - ``kind``: "call", "view", "request", "batch" or "external"; "group" of a group's
      record
    - ``group_id``: of the group to which the task belongs, or None
    - ``user_id``: None for anonymous; ``user_path``: of his user folder
    - ``context_path``, ``context_uid``: of the content that it works on
    - ``attempts``: how often it was begun
    - ``cancel_requested``: it will stop at its next cancellation point
    - ``log``: the last lines that it logged
    - ``instance``: the process in which it is, ``host:pid:token``
    - ``eta``: when a waiting one may start at the earliest; None: at once
    - ``dismissed``: its user has seen how it ended, and does not want it shown; or
      it is one that he did not ask for, as that of ``on_success``
    - ``after``: ids of the tasks and groups that have still to succeed before
    - ``is_spent``: nothing is left with which it could run again
    - ``began``: when the attempt that runs was begun; None: none does
    - ``timeline``: its last Attempts, the oldest first, see ``trail``; () if the first
      one is the only one, and has not failed
    - ``interventions``: who has cancelled it, or had it run again: Interventions
    """

    id: str
    title: str
    state: str
    kind: str
    callable: str
    queue: str
    priority: int
    user_id: str | None
    user_path: str | None
    site_path: str | None
    context_path: str | None
    context_uid: str | None
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    attempts: int = 0
    cancel_requested: bool = False
    progress: Progress = field(default_factory=Progress)
    messages: tuple = ()
    error: ErrorInfo | None = None
    has_result: bool = False
    log: tuple = ()
    instance: str = ""
    group_id: str | None = None
    eta: datetime | None = None
    dismissed: bool = False
    after: tuple = ()
    is_spent: bool = False
    began: datetime | None = None
    timeline: tuple = ()
    interventions: tuple = ()

    @property
    def can_be_retried(self):
        """Whether it may be queued again."""
        return can_be_retried(self.state) and not self.is_spent

    @property
    def wait_time(self):
        """Seconds from scheduling to the start, or the end if it never started."""
        return _seconds(self.created, self.started or self.finished)

    @property
    def run_time(self):
        """Seconds from the start to the end; None until then."""
        return _seconds(self.started, self.finished)


def _seconds(start, end):
    """Return the time between two moments, if there were both."""
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())  # clocks may be set back


@value("queue")
@dataclass(frozen=True, kw_only=True, slots=True)
class QueueStatus:
    """A queue: how many of its ``slots`` are in use, and how many tasks wait.

    ``sent``: how many of these were sent to workers of Celery, none of which has begun
    them; ``cut_off``: whether its tasks go there, but the broker cannot be reached.
    """

    name: str
    slots: int
    running: int
    waiting: int
    paused: bool
    sent: int = 0
    cut_off: bool = False


LOOKED_AHEAD = 100  # tasks before one that waits; nobody has to know of more


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a task stands that waits for its turn.

    - ``before``: how many tasks of its site will start before it, in its queue or in
      the line of its lock, as it looks now; ``LOOKED_AHEAD + 1`` for any more
    - ``holder``: the id of a task that has its lock, or None
    - ``is_limited``: whether as many tasks of its queue run as the limit allows
    - ``is_elsewhere``: whether it stands in no line any more, but was handed over to a
      worker elsewhere, which has not begun it
    """

    before: int
    holder: str | None = None
    is_limited: bool = False
    is_elsewhere: bool = False


@value("instance")
@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceStatus:
    """A process that runs tasks: its ``slots`` by the name of the queue.

    ``id``: as in ``TaskRecord.instance``; ``running``: how many tasks it runs now.
    ``role``: as in the settings, or "celery" of a worker of Celery. ``relays``: the
    names of the queues whose tasks it sends to those, a tuple; ``cut_off``: whether it
    cannot reach the broker for that.
    """

    id: str
    slots: dict
    running: int
    role: str = "all"
    relays: tuple = ()
    cut_off: bool = False


@value("response")
@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """The answer of a view, or of a web server.

    - ``status``: an int; ``headers``: a mapping that ignores upper and lower case
    - ``spool``: the body; ``body`` reads it as bytes
    - ``location``: where a redirect leads to, as it was given, or None
    """

    status: int
    headers: CaseInsensitiveDict
    spool: Spool

    @property
    def body(self):
        return self.spool.read()

    @property
    def location(self):
        return self.headers.get("location")


@value("failure")
@dataclass(frozen=True, kw_only=True, slots=True)
class BatchFailure:
    """An item of a batch that raised an exception.

    ``index``: its place, from 0; ``item``: the item, or where it is large or more
    than plain values (content, a file), a text that names it; ``error``: an ErrorInfo.
    """

    index: int
    item: object
    error: ErrorInfo


@value("batch")
@dataclass(frozen=True, kw_only=True, slots=True)
class BatchResult:
    """``done``: how many items went well; ``failures``: BatchFailures of the others."""

    done: int
    failures: tuple
