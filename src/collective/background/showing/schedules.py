"""Schedules of recurring tasks in words, for people who do not read cron.

Comes in: what ``RecurringStatus.schedule`` says. Goes out: a Message for the usual
ones, None for all others.
"""

from collective.background.model.messages import _
from collective.background.showing.presentation import DAY
from zope.i18nmessageid import Message

import re


HOUR, MINUTE = 3_600, 60  # seconds
NUMBER = r"(\d{1,2})"
STEP = r"\*/(\d{1,2})"
INTERVAL = re.compile(r"every (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")

WORKDAYS = "1-5"
DAYS = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
]
# In the catalogue of Plone; Sunday is 0 and 7.
WEEKDAYS = [
    Message(f"weekday_{name[:3].lower()}", domain="plonelocales", default=name)
    for name in DAYS
]


def in_words(schedule):
    """Return what a schedule means, as a Message; None if that is not a usual one.

    ``schedule``: a text, a cron expression or ``every 0:15:00``.
    """
    interval = INTERVAL.fullmatch(schedule)
    if interval is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in interval.groups())
        return _every(DAY * days + HOUR * hours + MINUTE * minutes + seconds)
    for pattern, words in _PATTERNS:
        found = re.fullmatch(pattern, schedule)
        if found is not None:
            return words(*found.groups())
    return None


def _every(seconds):
    units = (DAY, HOUR, MINUTE, 1)
    unit = next(each for each in units if seconds % each == 0)
    count = seconds // unit
    one, many = _UNITS[unit]
    return one if count == 1 else Message(many, mapping={"count": count})


_UNITS = {
    DAY: (_("every 24 hours"), _("every ${count} days")),
    HOUR: (_("every hour"), _("every ${count} hours")),
    MINUTE: (_("every minute"), _("every ${count} minutes")),
    1: (_("every second"), _("every ${count} seconds")),
}


def _minutes(step="1"):
    # Others begin anew each hour, after a shorter time.
    return _every(MINUTE * int(step)) if _divides(step, 60) else None


def _hours(minute, step="1"):
    if not _divides(step, 24):
        return None
    if step == "1":
        text = _("every hour at minute ${minute}")
    else:
        text = _("every ${count} hours at minute ${minute}")
    return Message(text, mapping={"count": step, "minute": minute})


def _daily(minute, hour):
    return _at(_("every day at ${time}"), minute, hour)


def _on_workdays(minute, hour):
    return _at(_("Monday to Friday at ${time}"), minute, hour)


def _weekly(minute, hour, day):
    return _at(_("every ${day} at ${time}"), minute, hour, day=WEEKDAYS[int(day)])


def _monthly(minute, hour, day):
    return _at(_("on day ${day} of each month at ${time}"), minute, hour, day=int(day))


def _at(text, minute, hour, **mapping):
    time = f"{int(hour):02}:{int(minute):02}"
    return Message(text, mapping={"time": time, **mapping})


def _divides(step, whole):
    return int(step) > 0 and whole % int(step) == 0


_PATTERNS = (
    (r"\* \* \* \* \*", _minutes),
    (rf"{STEP} \* \* \* \*", _minutes),
    (rf"{NUMBER} \* \* \* \*", _hours),
    (rf"{NUMBER} {STEP} \* \* \*", _hours),
    (rf"{NUMBER} {NUMBER} \* \* \*", _daily),
    (rf"{NUMBER} {NUMBER} \* \* {WORKDAYS}", _on_workdays),
    (rf"{NUMBER} {NUMBER} \* \* ([0-7])", _weekly),
    (rf"{NUMBER} {NUMBER} {NUMBER} \* \*", _monthly),
)
