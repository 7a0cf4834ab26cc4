"""Measuring: candidates take turns, so that both meet the same conditions."""

from dataclasses import dataclass
from math import inf
from statistics import median
from time import perf_counter

import gc
import sys


NEARLY = 1.1  # by so much a target may be missed
QUICK = 1000  # so many times less than in earnest is done with ``--quick``


def size(number, least=1):
    """Return how often, or how long, something is done: ``number``.

    With ``--quick``, which shows only that everything runs, very little of it, but not
    less than ``least``.
    """
    return max(least, number // QUICK) if "--quick" in sys.argv else number


@dataclass(frozen=True)
class Row:
    """A line of the table: medians of two candidates, and what their ratio may be.

    ``most``, ``least``: the target for ``ours / other``; None: there is no such one.
    ``costs``: the Costs of a task, or None.
    """

    name: str
    ours: float
    other_name: str
    other: float
    unit: str = "ms"
    most: float | None = None
    least: float | None = None
    costs: object = None

    @property
    def ratio(self):
        return self.ours / self.other

    def __str__(self):
        targets = ""
        if self.most is not None:
            targets += f"  at most {self.most:g}: {_verdict(self.ratio / self.most)}"
        if self.least is not None:
            missing = self.least / self.ratio if self.ratio else inf
            targets += f"  at least {self.least:g}: {_verdict(missing)}"
        line = (
            f"{self.name:<44}{self.ours:>10.3f} {self.unit:<6}"
            f"{self.other_name:<34}{self.other:>10.3f} {self.unit:<6}"
            f"{self.ratio:>7.2f}{targets}"
        )
        return line if self.costs is None else f"{line}\n    {self.costs}"


def _verdict(excess):
    """Return what to say of a target; ``excess``: above 1 it is missed."""
    if excess <= 1:
        return "ok"
    return "ok, within 10 %" if excess <= NEARLY else "MISSED"


def timed(function):
    """Return how long a call takes, in milliseconds."""
    start = perf_counter()
    function()
    return (perf_counter() - start) * 1000


def alternate(rounds, *candidates):
    """Return the medians of what each candidate returns, called by turns.

    Each candidate is a function that returns a number; a few rounds come before
    that do not count. Before each call the youngest garbage is collected, so that
    nobody pays for that of another.
    """
    for _ in range(max(size(3), rounds // 10)):
        for candidate in candidates:
            candidate()
    results = [[] for _ in candidates]
    for _ in range(rounds):
        for result, candidate in zip(results, candidates, strict=True):
            gc.collect(0)
            result.append(candidate())
    return [median(result) for result in results]
