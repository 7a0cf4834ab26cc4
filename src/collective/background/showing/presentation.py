"""How tasks are called and coloured where people see them."""

from collective.background.model import states
from collective.background.model.messages import _
from dataclasses import replace
from zope.i18nmessageid import Message


STATE_LABELS = {
    states.QUEUED: _("waiting"),
    states.RUNNING: _("running"),
    states.RETRYING: _("waiting for another attempt"),
    states.SUCCEEDED: _("done"),
    states.FAILED: _("failed"),
    states.CANCELLED: _("cancelled"),
    states.LOST: _("lost"),
}

# Of Bootstrap 5; they have enough contrast in light and dark mode.
STATE_CLASSES = {
    states.QUEUED: "text-bg-secondary",
    states.RUNNING: "text-bg-primary",
    states.RETRYING: "text-bg-warning",
    states.SUCCEEDED: "text-bg-success",
    states.FAILED: "text-bg-danger",
    states.CANCELLED: "text-bg-dark",
    # As in the pictures of the control panel, where it stands beside what has failed.
    states.LOST: "bg-danger-subtle text-danger-emphasis border border-danger",
}


# Bootstrap's alerts for the types of messages.
MESSAGE_CLASSES = {
    "info": "alert-info",
    "warning": "alert-warning",
    "error": "alert-danger",
}


DAY = 86_400  # seconds

# From how many seconds on, and in which unit, it is said how long ago something was,
# or in which time it will be.
AGO = (
    (2 * DAY, DAY, _("${count} days ago"), _("in ${count} days")),
    (DAY, DAY, _("a day ago"), _("in a day")),
    (3_600, 3_600, _("${count} h ago"), _("in ${count} h")),
    (60, 60, _("${count} min ago"), _("in ${count} min")),
    (5, 1, _("${count} s ago"), _("in ${count} s")),
    (0, 1, _("just now"), _("now")),
)


def state_label(record):
    """Return what a record's state is called: a Message."""
    if record.cancel_requested and record.state in states.UNFINISHED:
        return _("is being cancelled")
    if is_partial(record):
        number = record.progress.failed
        return Message(_("done, ${number} failed"), mapping={"number": number})
    return STATE_LABELS[record.state]


def state_class(record):
    """Return the CSS class of the badge with the state of a record."""
    if is_partial(record):
        return "text-bg-warning"
    return STATE_CLASSES[record.state]


def is_partial(record):
    """Whether a batch has succeeded, but for some of its items."""
    return record.state == states.SUCCEEDED and record.progress.failed > 0


def duration(seconds):
    """Return ``"1 h 2 min"``, ``"1 min 5 s"``, ``"12 s"`` or ``"< 1 s"``.

    ``seconds``: a number. Without decimals, which each language writes in its own way.
    """
    if seconds < 1:
        return "< 1 s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def ago(moment, now):
    """Return how long before ``now`` a moment was: a Message, as ``"5 min ago"``.

    Or how long after it it will be. In the largest unit of which it is one.
    """
    seconds = round((now - moment).total_seconds())
    number = abs(seconds)
    unit, past, future = next(rest for least, *rest in AGO if number >= least)
    text = past if seconds >= 0 else future
    return Message(text, mapping={"count": number // unit})


def percentage(progress):
    """Return how far a task is, from 0 to 100; None if that is not known."""
    if not progress.total:
        return None
    return min(100, max(0, round(100 * progress.done / progress.total)))


def progress_text(progress):
    """Return ``"3 / 10"``, or ``"3"`` if nobody knows of how many, or ``""``."""
    if progress.total:
        return f"{_number(progress.done)} / {_number(progress.total)}"
    return _number(progress.done) if progress.done else ""


def _number(value):
    return str(int(value)) if value == int(value) else f"{value:.1f}"


def time_left(record):
    """Return how long a running task will still take: a Message; None if nobody knows.

    As it was at its last report.
    """
    seconds = record.progress.seconds_left
    if record.state != states.RUNNING or seconds is None:
        return None
    if seconds < 10:
        return _("a few seconds left")
    return Message(_("${time} left"), mapping={"time": duration(seconds)})


def error_text(error):
    """Return what an ErrorInfo says: a text, or a Message.

    That is what it says to the user of the task. Where that is nothing, the class and
    the text of the exception, for who may see them.
    """
    if error.public is not None:
        return error.public
    name = error.type.rpartition(".")[2]
    if not error.message:
        return name
    return f"{name}: {error.message}"


def public_error(error):
    """Return the ErrorInfo as the user of the task may see it.

    Its ``message`` is for him; without class and traceback of the exception.
    """
    text = error.public_text
    return replace(error, type="", message=text, traceback="", public=text)
