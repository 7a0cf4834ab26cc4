"""The trail of a task: what its attempts came to, and who has intervened; plain values.

Both have bounds, in number and in length. Nothing is kept of a task whose first attempt
succeeds: its record says it all.
"""

from collective.background.exceptions import TaskTimedOut
from collective.background.model import states
from collective.background.model.records import ErrorInfo
from collective.background.model.tracebacks import own_frames
from collective.background.model.values import value
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime


ATTEMPTS = 10  # the last ones
INTERVENTIONS = 10
# Characters of the error of an attempt: together 2,000, with the name of its class.
MESSAGE_LENGTH = 500
TRACEBACK_LENGTH = 1_200

CANCEL = "cancel"
RETRY = "retry"

# By whom.
USER = "user"
COMMAND = "command"  # the operator at the command line
SYSTEM = "system"  # code that runs as Zope itself
SHUTDOWN = "shutdown"
TIMEOUT = "timeout"

_TIMED_OUT = f"{TaskTimedOut.__module__}.{TaskTimedOut.__qualname__}"


@value("attempt")
@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """An attempt that has ended.

    - ``number``: of it, from 1
    - ``state``: to which it has led: one in which a task ends, or "retrying"
    - ``started``, ``finished``: aware, UTC; the former may be None: not known
    - ``instance``: where it was made, ``host:pid:token``
    - ``error``: an ErrorInfo, shortened, with the frames of add-ons; or None
    """

    number: int
    state: str
    started: datetime | None
    finished: datetime
    instance: str
    error: ErrorInfo | None = None


@value("intervention")
@dataclass(frozen=True, kw_only=True, slots=True)
class Intervention:
    """What somebody has done to a task.

    - ``action``: "cancel" or "retry"; ``when``: aware, UTC
    - ``by``: "user", "command" (the operator at the command line), "system" (Zope
      itself), "shutdown" (of the process) or "timeout" (its own)
    - ``user_id``: of a user, None for anonymous; ``user_path``: of his user folder
    """

    action: str
    when: datetime
    by: str
    user_id: str | None = None
    user_path: str | None = None


def note_attempt(what, state, error, *, number, started, finished, instance):
    """Note in ``what.timeline`` that an attempt has ended.

    And among the interventions that a timeout has ended it.

    ``what``: a task of any kind; ``error``: an ErrorInfo, or None. The others are those
    of an Attempt. A success is only noted if something has gone wrong before.
    """
    if state == states.SUCCEEDED and not what.timeline:
        return
    attempt = Attempt(
        number=number,
        state=state,
        started=started,
        finished=finished,
        instance=instance,
        error=error and _shortened(error),
    )
    what.timeline = (*what.timeline, attempt)[-ATTEMPTS:]
    if error is not None and error.type == _TIMED_OUT:
        stopped = Intervention(action=CANCEL, when=finished, by=TIMEOUT)
        note_intervention(what, stopped)


def note_intervention(what, intervention):
    """Note an Intervention in ``what.interventions``; None: nobody's."""
    if intervention is not None:
        what.interventions = (*what.interventions, intervention)[-INTERVENTIONS:]


def was_tried_again(what):
    """Whether somebody has wanted that; ``what``: a task of any kind."""
    return any(each.action == RETRY for each in what.interventions)


def last_intervention(record):
    """Return the Intervention by which a task has come to its state, or None.

    ``record``: its TaskRecord.
    """
    last = record.interventions[-1] if record.interventions else None
    if last is None:
        return None
    if last.by == TIMEOUT:
        is_cause = record.error is not None and record.error.type == _TIMED_OUT
    else:
        led_to = {CANCEL: states.CANCELLED, RETRY: states.QUEUED}
        is_cause = led_to[last.action] == record.state
    return last if is_cause else None


def _shortened(error):
    traceback = own_frames(error.traceback)
    if len(traceback) > TRACEBACK_LENGTH:
        traceback = f"…{traceback[1 - TRACEBACK_LENGTH :]}"
    message = error.message
    if len(message) > MESSAGE_LENGTH:
        message = f"{message[: MESSAGE_LENGTH - 1]}…"
    return replace(error, message=message, traceback=traceback, public=None)
