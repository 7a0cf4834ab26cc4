"""Pictures of numbers: where the bars of a chart are, and what is written beside.

Comes in: the periods of ``telling/history.py``. Goes out: Charts, which
``charts.pt`` draws as SVG. Used by ``activity``. Lengths are units of the picture,
which is as wide as the page has room for it.
"""

from collective.background.model.states import CANCELLED
from collective.background.model.states import FAILED
from collective.background.model.states import LOST
from collective.background.model.states import SUCCEEDED
from dataclasses import dataclass
from math import floor
from math import log10


WIDTH, HEIGHT = 600, 170
LEFT, RIGHT, TOP, BOTTOM = 50, 5, 15, 32  # room around the bars, for what is written
PLOT_WIDTH = WIDTH - LEFT - RIGHT
PLOT_HEIGHT = HEIGHT - TOP - BOTTOM
LABELS = 4  # how many times of day are written below

# From the bottom to the top of a bar.
STACK = (SUCCEEDED, CANCELLED, LOST, FAILED)
WAIT = "wait"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A rectangle; ``kind``: a state, or WAIT; ``value``: what it stands for."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A text at a place of an axis."""

    position: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """``scale``: the Labels of the values; ``times``: those of the periods."""

    bars: list
    scale: list
    times: list

    width, height = WIDTH, HEIGHT
    left, right = LEFT, WIDTH - RIGHT
    bottom = HEIGHT - BOTTOM
    times_y = HEIGHT - 6


def chart_of_ends(periods, time):
    """Return the Chart of how many tasks have ended, by their state.

    ``time(moment)``: returns what is written below the period that begins then.
    """
    stacks = [[(state, period.ended[state]) for state in STACK] for period in periods]
    return _chart(periods, stacks, time, whole=True)


def chart_of_waits(periods, time):
    """Return the Chart of how long tasks had waited, in seconds on the average."""
    stacks = [[(WAIT, period.mean_wait or 0)] for period in periods]
    return _chart(periods, stacks, time, whole=False)


def round_up(value, whole):
    """Return 1, 2 or 5 times a power of ten that is not less; at least 1 if whole."""
    if value <= 0:
        return 1
    power = 10 ** floor(log10(value))
    top = next(step * power for step in (1, 2, 5, 10) if step * power >= value)
    return max(1, round(top)) if whole else top


def _chart(periods, stacks, time, whole):
    top = round_up(max(sum(v for _, v in stack) for stack in stacks), whole)
    step = PLOT_WIDTH / len(periods)
    bars = []
    for index, stack in enumerate(stacks):
        y = HEIGHT - BOTTOM
        for kind, value in stack:
            if value:
                height = PLOT_HEIGHT * value / top
                y -= height
                bars.append(
                    Bar(
                        x=round(LEFT + (index + 0.1) * step, 1),
                        y=round(y, 1),
                        width=round(0.8 * step, 1),
                        height=round(height, 1),
                        kind=kind,
                        value=value,
                    )
                )
    marks = (0, top) if top == 1 and whole else (0, top / 2, top)
    return Chart(
        bars=bars,
        scale=[
            Label(
                position=HEIGHT - BOTTOM - PLOT_HEIGHT * value / top, text=f"{value:g}"
            )
            for value in marks
        ],
        times=[
            Label(
                position=round(LEFT + (index + 0.5) * step, 1),
                text=time(periods[index].start),
            )
            for index in range(0, len(periods), len(periods) // LABELS)
        ],
    )
