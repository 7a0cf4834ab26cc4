"""How tasks are called and coloured where people see them."""

from collective.background import states
from collective.background.messages import _


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
    states.LOST: "text-bg-danger",
}


def state_label(record):
    """Return what a record's state is called: a Message."""
    if record.cancel_requested and record.state in states.UNFINISHED:
        return _("is being cancelled")
    return STATE_LABELS[record.state]


def duration(seconds):
    """Return ``"1 h 2 min"``, ``"1 min 5 s"``, ``"12 s"`` or ``"0.3 s"``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
