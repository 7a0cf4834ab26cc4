"""Schedules: which moments are the ticks of a recurring task.

Comes in: a cron expression or a timedelta, as an add-on has written it. Goes
out: a schedule, whose ``next()`` knows the tick that follows a moment. All
moments are compared in UTC, which has no daylight saving.
"""

from collective.background.exceptions import BadOption
from cronsim import CronSim
from cronsim import CronSimError
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from datetime import UTC


FIELDS = "minute, hour, day of the month, month, day of the week"
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Cron:
    """Ticks by the clock on the wall, as in Debian's cron.

    On the days of a daylight-saving change, an expression with a fixed minute
    and hour has each of its ticks once: one that the change leaves out comes
    right after it, and of an hour that is there twice only the first counts. If
    minute or hour begin with a star, time goes by as it does: "hourly" is every
    60 minutes, and each minute counts at which the clock on the wall matches.
    """

    expression: str

    def __post_init__(self):
        try:
            fields = len(self.expression.split())
            if fields != 5:
                raise CronSimError(f"it has {fields} fields and not five ({FIELDS})")
            following = self.next(datetime.now(UTC), UTC)
        except CronSimError as error:
            raise BadOption(
                f"schedule is {self.expression!r}, which is not a cron expression: "
                f"{error}"
            ) from error
        if following is None:
            raise BadOption(f"schedule is {self.expression!r}, and no day is like that")

    def next(self, after, zone):
        """Return the first tick after a moment, in UTC.

        ``after``: an aware datetime. ``zone``: the tzinfo of the site.
        """
        # Within an hour that is there twice, the library begins in the first.
        ticks = (
            tick.astimezone(UTC)
            for tick in CronSim(self.expression, after.astimezone(zone))
        )
        following = next((tick for tick in ticks if tick > after), None)
        if following is None or not self._has_star:
            return following
        return self._before_odd_change(after, following, zone) or following

    @property
    def _has_star(self):
        minute, hour, *_ = self.expression.split()
        return minute.startswith("*") or hour.startswith("*")

    def _before_odd_change(self, after, following, zone):
        """Return a tick that the library misses, or None.

        It goes on by whole hours, from the beginning of one, so where clocks change by
        half an hour (on Lord Howe Island) it may go too far.
        """
        change = _offset(following, zone) - _offset(after - HOUR, zone)
        if not change % HOUR:
            return None
        moment = after.replace(second=0, microsecond=0)
        while (moment := moment + MINUTE) < following:
            wall = moment.astimezone(zone).replace(tzinfo=None)
            if next(CronSim(self.expression, wall - MINUTE), None) == wall:
                return moment
        return None

    def __str__(self):
        return self.expression


@dataclass(frozen=True, slots=True)
class Every:
    """The next tick is so much later than the last one was."""

    interval: timedelta

    def __post_init__(self):
        if not SHORTEST <= self.interval <= LONGEST:
            raise BadOption(
                f"schedule is {self.interval!r}; it must be between a second and "
                "ten years"
            )

    def next(self, after, zone):
        """As that of Cron."""
        return after + self.interval

    def __str__(self):
        return f"every {self.interval}"


def _offset(moment, zone):
    return moment.astimezone(zone).utcoffset()


def make_schedule(value):
    """Return the schedule of a cron expression or a timedelta.

    Raises BadOption for anything else, and for what has no ticks.
    """
    if isinstance(value, str):
        return Cron(" ".join(value.split()))
    if isinstance(value, timedelta):
        return Every(value)
    raise BadOption(
        f"schedule is {value!r}; it must be a cron expression or a timedelta"
    )
