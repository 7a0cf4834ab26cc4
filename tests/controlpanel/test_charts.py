"""Where the bars of the pictures are."""

from collective.background import controlpanel
from collective.background.controlpanel.charts import Chart
from collective.background.controlpanel.charts import chart_of_ends
from collective.background.controlpanel.charts import chart_of_waits
from collective.background.controlpanel.charts import round_up
from collective.background.model.states import FINISHED
from collective.background.model.states import LOST
from collective.background.showing.presentation import STATE_CLASSES
from collective.background.telling.history import Period
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from itertools import pairwise
from pathlib import Path

import pytest
import re


START = datetime(2026, 11, 24, tzinfo=UTC)


def period(hour, *waits, **ended):
    return Period(
        start=START + timedelta(hours=hour),
        ended={**dict.fromkeys(FINISHED, 0), **ended},
        started=len(waits),
        wait=float(sum(waits)),
        longest_wait=max(waits, default=0.0),
    )


def day(*periods):
    """24 hours, of which the last ones are given."""
    return [period(hour) for hour in range(24 - len(periods))] + list(periods)


def hour_of(moment):
    return str(moment.hour)


def test_without_tasks_there_are_no_bars_but_a_scale():
    for chart in (chart_of_ends(day(), hour_of), chart_of_waits(day(), hour_of)):
        assert chart.bars == []
        assert len(chart.scale) > 1


def test_a_bar_is_as_high_as_its_value():
    chart = chart_of_ends(
        day(period(22, succeeded=5), period(23, succeeded=10)), hour_of
    )
    half, whole = chart.bars
    assert whole.height == 2 * half.height
    assert half.x < whole.x


def test_the_states_of_a_period_stand_upon_each_other():
    chart = chart_of_ends(day(period(23, succeeded=3, failed=1)), hour_of)
    below, above = chart.bars
    assert (below.kind, above.kind) == ("succeeded", "failed")
    assert below.y + below.height == Chart.bottom
    assert above.y + above.height == pytest.approx(below.y)
    assert above.x == below.x


def test_nothing_leaves_the_picture():
    busy = [period(h, 0.001, 7000, succeeded=h, lost=h * h) for h in range(24)]
    for chart in (chart_of_ends(busy, hour_of), chart_of_waits(busy, hour_of)):
        for bar in chart.bars:
            assert Chart.left <= bar.x <= bar.x + bar.width <= Chart.right
            assert 0 <= bar.y <= bar.y + bar.height <= Chart.bottom + 0.1


def test_waits_are_averages():
    chart = chart_of_waits(day(period(23, 1, 3)), hour_of)
    assert [bar.value for bar in chart.bars] == [2.0]


def test_the_scale_ends_with_a_round_number():
    chart = chart_of_ends(day(period(23, succeeded=37)), hour_of)
    assert [label.text for label in chart.scale] == ["0", "25", "50"]
    assert chart.scale[0].position == Chart.bottom


def test_times_are_at_equal_distances():
    times = chart_of_ends(day(), hour_of).times
    assert [label.text for label in times] == ["0", "6", "12", "18"]
    steps = {round(b.position - a.position) for a, b in pairwise(times)}
    assert len(steps) == 1


@pytest.mark.parametrize(
    "value, whole, top",
    [(0, True, 1), (1, True, 1), (3, True, 5), (0.3, False, 0.5), (7, True, 10)],
)
def test_round_numbers(value, whole, top):
    assert round_up(value, whole) == pytest.approx(top)


def test_what_is_lost_has_the_colour_of_its_badge():
    css = Path(controlpanel.__file__).parent / "static" / "controlpanel.css"
    [lost] = re.findall(r"rect\.lost {(.*?)}", css.read_text(), re.DOTALL)
    assert "bg-danger-subtle" in STATE_CLASSES[LOST]
    assert "var(--bs-danger-bg-subtle)" in lost
