"""When the ticks of a schedule are, above all on the days when clocks change."""

from collective.background.exceptions import BackgroundError
from collective.background.exceptions import BadOption
from collective.background.recurring.schedules import make_schedule
from datetime import date
from datetime import datetime
from datetime import time
from datetime import timedelta
from datetime import UTC
from hypothesis import assume
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from zoneinfo import ZoneInfo

import pytest


VIENNA = ZoneInfo("Europe/Vienna")
SPRING = date(2026, 3, 29)  # from 02:00 to 03:00
AUTUMN = date(2026, 10, 25)  # from 03:00 to 02:00

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# With days on which clocks change there, by an hour: at night, at midnight, not at
# all.
CHANGES = [
    ("Europe/Vienna", SPRING),
    ("Europe/Vienna", AUTUMN),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("America/Santiago", date(2026, 4, 4)),
    ("America/Santiago", date(2026, 9, 6)),
    ("Asia/Kolkata", SPRING),
    ("UTC", SPRING),
]

# Of the fields of an expression: what is written, and what it means.
MINUTES = {
    "*": set(range(60)),
    "*/20": {0, 20, 40},
    "0": {0},
    "30": {30},
    "0,30": {0, 30},
    "10-12": {10, 11, 12},
}
HOURS = {
    "*": set(range(24)),
    "*/2": set(range(0, 24, 2)),
    "0": {0},
    "2": {2},
    "1-3": {1, 2, 3},
    "0,2,23": {0, 2, 23},
}


def ticks_between(expression, zone, start, end):
    """The ticks after ``start`` up to ``end``."""
    schedule = make_schedule(expression)
    ticks = []
    tick = schedule.next(start, zone)
    while tick <= end:
        ticks.append(tick)
        tick = schedule.next(tick, zone)
    return ticks


def ticks_of_day(expression, day, zone=VIENNA):
    """The ticks of a day on the clock of the wall, written as it shows them."""
    start = datetime.combine(day, time(), zone)
    end = datetime.combine(day + DAY, time(), zone)
    ticks = ticks_between(expression, zone, (start - MINUTE).astimezone(UTC), end)
    return [
        f"{local:%H:%M %Z}"
        for tick in ticks
        if (local := tick.astimezone(zone)).date() == day
    ]


def moments(start, end):
    """All whole minutes after ``start`` up to ``end``."""
    moment = start.replace(second=0, microsecond=0)
    while (moment := moment + MINUTE) <= end:
        if moment > start:
            yield moment


def elapsing(minutes, hours, zone, start, end):
    """Rule of a star: every moment at which the clock on the wall matches."""
    return [
        moment
        for moment in moments(start, end)
        if (local := moment.astimezone(zone)).minute in minutes and local.hour in hours
    ]


def once_a_day(minutes, hours, zone, start, end):
    """Rule of fixed times: each time of a day once, if need be after the gap."""
    found = set()
    for offset in range(-1, 4):
        for hour in hours:
            for minute in minutes:
                day = start.astimezone(zone).date() + offset * DAY
                local = datetime.combine(day, time(hour, minute), zone)
                moment = local.astimezone(UTC)
                while moment.astimezone(zone) != local:  # it does not exist
                    local += MINUTE
                    moment = local.astimezone(UTC)
                found.add(moment)
    return sorted(moment for moment in found if start < moment <= end)


class TestDaylightSaving:
    def test_a_time_that_is_left_out_comes_right_after_the_gap(self):
        assert ticks_of_day("30 2 * * *", SPRING) == ["03:00 CEST"]

    def test_a_time_that_is_there_twice_counts_the_first_time(self):
        assert ticks_of_day("30 2 * * *", AUTUMN) == ["02:30 CEST"]

    @pytest.mark.parametrize("day", [SPRING - DAY, SPRING + DAY])
    def test_the_days_around_are_as_ever(self, day):
        (tick,) = ticks_of_day("30 2 * * *", day)
        assert tick.startswith("02:30")

    def test_the_second_time_is_not_taken_for_the_first(self):
        """Asked in the second hour, as after a restart."""
        second = datetime(2026, 10, 25, 2, 10, tzinfo=VIENNA, fold=1)
        following = make_schedule("30 2 * * *").next(second.astimezone(UTC), VIENNA)
        assert following == datetime(2026, 10, 26, 2, 30, tzinfo=VIENNA)

    @pytest.mark.parametrize("day,hours", [(SPRING, 23), (AUTUMN, 25)])
    def test_hourly_goes_by_as_time_does(self, day, hours):
        assert len(ticks_of_day("0 * * * *", day)) == hours
        assert len(set(ticks_of_day("0 * * * *", day))) == hours

    @pytest.mark.parametrize("day,hours", [(SPRING, 23), (AUTUMN, 25)])
    def test_quarters_of_an_hour_as_well(self, day, hours):
        assert len(ticks_of_day("*/15 * * * *", day)) == 4 * hours

    def test_times_that_end_at_the_same_moment_are_one_tick(self):
        assert ticks_of_day("0,30 2,3 * * *", SPRING) == ["03:00 CEST", "03:30 CEST"]

    @settings(deadline=None)
    @given(
        change=st.sampled_from(CHANGES),
        minute=st.sampled_from(sorted(MINUTES)),
        hour=st.sampled_from(sorted(HOURS)),
        seconds=st.integers(-86400, 86400),
    )
    def test_the_two_rules(self, change, minute, hour, seconds):
        """Wherever one starts, and in whichever zone."""
        name, day = change
        zone = ZoneInfo(name)
        start = datetime.combine(day, time(2), UTC) + timedelta(seconds=seconds)
        end = start + DAY
        rule = elapsing if "*" in minute + hour else once_a_day
        assert ticks_between(f"{minute} {hour} * * *", zone, start, end) == rule(
            MINUTES[minute], HOURS[hour], zone, start, end
        )

    @settings(deadline=None)
    @given(
        day=st.sampled_from([date(2026, 4, 4), date(2026, 10, 3)]),
        minute=st.sampled_from(sorted(MINUTES)),
        hour=st.sampled_from(sorted(HOURS)),
        seconds=st.integers(-86400, 86400),
    )
    def test_the_rule_of_a_star_where_clocks_change_by_half_an_hour(
        self, day, minute, hour, seconds
    ):
        """For fixed times cron has no rule there."""
        assume("*" in minute + hour)
        zone = ZoneInfo("Australia/Lord_Howe")
        start = datetime.combine(day, time(15), UTC) + timedelta(seconds=seconds)
        end = start + DAY
        assert ticks_between(f"{minute} {hour} * * *", zone, start, end) == elapsing(
            MINUTES[minute], HOURS[hour], zone, start, end
        )


class TestCron:
    def test_a_tick_is_after_the_moment_that_is_asked_for(self):
        noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
        assert make_schedule("0 12 * * *").next(noon, UTC) == noon + DAY

    def test_the_time_is_that_of_the_zone(self):
        midnight = datetime(2026, 6, 1, tzinfo=UTC)
        tick = make_schedule("0 12 * * *").next(midnight, VIENNA)
        assert tick == datetime(2026, 6, 1, 10, tzinfo=UTC)
        assert tick.tzinfo is UTC

    def test_days_of_the_week(self):
        wednesday = datetime(2026, 11, 25, tzinfo=UTC)
        tick = make_schedule("0 6 * * MON").next(wednesday, UTC)
        assert tick == datetime(2026, 11, 30, 6, tzinfo=UTC)

    def test_its_text_is_the_expression(self):
        assert str(make_schedule(" 0  6 * * mon ")) == "0 6 * * mon"

    @pytest.mark.parametrize(
        "expression,reason",
        [
            ("61 * * * *", "Bad minute"),
            ("* 24 * * *", "Bad hour"),
            ("0 0 30 2 *", "Bad day-of-month"),
            ("* * * * fun", "Bad day-of-week"),
            ("*/0 * * * *", "Bad minute"),
            ("0 0 * *", "it has 4 fields and not five"),
            ("0 0 0 * * *", "it has 6 fields and not five"),
            ("", "it has 0 fields and not five"),
            ("@daily", "it has 1 fields and not five"),
            ("* * */20 * 1L", "no day is like that"),
        ],
    )
    def test_a_bad_expression_is_refused_with_the_reason(self, expression, reason):
        with pytest.raises(BadOption) as refusal:
            make_schedule(expression)
        assert repr(expression) in str(refusal.value)
        assert reason in str(refusal.value)

    @settings(deadline=None)
    @given(st.lists(st.text("0123456789*/-,#LW MON", max_size=6), max_size=6))
    def test_any_text_is_a_schedule_or_a_clear_error(self, fields):
        noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
        try:
            schedule = make_schedule(" ".join(fields))
        except BackgroundError as error:
            assert "schedule is" in str(error)
        else:
            assert schedule.next(noon, VIENNA) > noon


class TestInterval:
    def test_counts_from_the_last_tick(self):
        moment = datetime(2026, 6, 1, 12, 3, 7, tzinfo=UTC)
        interval = timedelta(minutes=90)
        assert make_schedule(interval).next(moment, VIENNA) == moment + interval

    def test_does_not_care_for_daylight_saving(self):
        before = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
        following = make_schedule(timedelta(hours=1)).next(before, VIENNA)
        assert following - before == timedelta(hours=1)

    def test_its_text(self):
        assert str(make_schedule(timedelta(minutes=15))) == "every 0:15:00"

    @pytest.mark.parametrize(
        "interval",
        [timedelta(0), timedelta(days=-1), timedelta(microseconds=1), timedelta.max],
    )
    def test_must_be_positive_and_reasonable(self, interval):
        with pytest.raises(BadOption, match="between a second and ten years"):
            make_schedule(interval)


@pytest.mark.parametrize("value", [None, 15, 1.5, b"* * * * *", datetime.now(UTC)])
def test_nothing_else_is_a_schedule(value):
    with pytest.raises(BadOption, match="must be a cron expression or a timedelta"):
        make_schedule(value)
