"""Tasks that all write the same object, by one worker and by more."""

from benchmarks.cluster import run_workers
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.throughput import run
from collective.background import get_scheduler
from instance_probe.costs import increment
from zope.component.hooks import getSite

import transaction


INCREMENTS = size(5_000, least=10)
NUMBERS = (1, 2, 4)  # of workers


def measure(folder, cluster):
    rates = {}
    for number in NUMBERS[: size(len(NUMBERS), least=2)]:
        workers = run_workers(cluster, number)
        transaction.begin()
        before = getattr(getSite(), "counted", 0)
        rates[number], costs = run(folder, cluster, workers, increment, INCREMENTS)
        transaction.begin()
        done = getSite().counted - before
        failed = get_scheduler().count(states={"failed"})
        name = f"{INCREMENTS} increments, {number} workers"
        yield Row(name, rates[number], "one", rates[1], "1/s", least=1, costs=costs)
        name = "  what was counted; none may fail"
        yield Row(name, done - failed, "increments", INCREMENTS, "", 1, 1)
