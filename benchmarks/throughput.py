"""How many tasks end in a second, and what each costs, by the number of workers."""

from benchmarks.cluster import committed
from benchmarks.cluster import Finish
from benchmarks.cluster import run_workers
from benchmarks.cluster import TIMEOUT
from benchmarks.costs import median_of
from benchmarks.costs import Meter
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.peer import celery
from collective.background import get_scheduler
from collective.background import using
from instance_probe.costs import rest
from instance_probe.tasks import nothing
from statistics import median


ROUNDS = size(5)
SMALL = size(1_000, least=4)  # tasks that do nothing
FEW = size(600, least=4)  # of them, where more workers than one are compared
RESTING = size(200, least=4)  # tasks that wait 50 ms
NUMBERS = (1, 2, 4, 8)  # of workers
MOST_RESTING = 4  # workers
CONFLICTS = 0.05  # of a task, at most

AGAINST_CELERY = 0.6  # of its tasks in a second, at least
WITH_RERUN = 0.75
MORE_RESTING = {2: 1.7, 4: 2.7}  # times as many as one worker, at least
MORE_CPU = 1.4  # times the CPU of a task by one worker, at most


def measure(folder, cluster):
    yield from _beside_celery(folder, cluster)
    small, resting = {}, {}
    for number in NUMBERS[: size(len(NUMBERS), least=2)]:
        workers = run_workers(cluster, number)
        small[number] = _repeat(folder, cluster, workers, nothing, FEW)
        if number <= MOST_RESTING:
            resting[number] = _repeat(folder, cluster, workers, rest, RESTING)
    for number in list(small)[1:]:
        rate, costs = small[number]
        name = f"{FEW} small tasks, {number} workers"
        least = 1 if number == 2 else None
        yield Row(name, rate, "one", small[1][0], "1/s", least=least, costs=costs)
        yield Row("  conflicts of a task", costs.conflicts, "target", CONFLICTS, "", 1)
    for number in list(resting)[1:]:
        rate, costs = resting[number]
        name = f"{RESTING} tasks of 50 ms, {number} workers"
        alone, least = resting[1], MORE_RESTING[number]
        yield Row(name, rate, "one", alone[0], "1/s", least=least, costs=costs)
        name = "  CPU of a task"
        yield Row(name, costs.cpu, "one", alone[1].cpu, "ms", most=MORE_CPU)


def _beside_celery(folder, cluster):
    """By one worker, without and with ``rerun``, and by Celery if it is there."""
    workers = run_workers(cluster, 1)
    ours, again, theirs = [], [], []
    with celery(cluster) as peer:
        for _ in range(ROUNDS):
            ours.append(run(folder, cluster, workers, nothing, SMALL))
            again.append(run(folder, cluster, workers, nothing, SMALL, rerun=True))
            if peer is not None:
                theirs.append(peer.run(SMALL))
    rate, costs = medians(ours)
    rate_again, costs_again = medians(again)
    name = f"{SMALL} small tasks, 1 worker"
    if theirs:
        other = median(theirs)
        yield Row(name, rate, "Celery", other, "1/s", least=AGAINST_CELERY, costs=costs)
        yield Row(
            f"{name}, rerun",
            *(rate_again, "Celery", other, "1/s"),
            least=WITH_RERUN,
            costs=costs_again,
        )
    else:
        yield Row(f"{name}, rerun", rate_again, "without", rate, "1/s")
        yield f"    {costs}\n    {costs_again}"
    yield Row("  commits of a task", costs.commits, "target", 2.2, "", most=1)
    yield Row("  the same, rerun", costs_again.commits, "target", 1.3, "", most=1)


def _repeat(*what):
    return medians([run(*what) for _ in range(size(3))])


def medians(runs):
    """Return the medians of what some ``run`` have returned."""
    rates, costs = zip(*runs, strict=True)
    return median(rates), median_of(costs)


def run(folder, cluster, workers, function, count, **options):
    """Return how many of so many tasks end in a second, and the Costs of one.

    ``options``: those of ``using()``. All wait before the first one starts.
    """
    scheduler = get_scheduler()
    scheduler.pause("default")

    def schedule_all():
        for _ in range(count):
            using(**options).schedule(function, folder)

    committed(schedule_all)
    meter, finish = Meter(workers, cluster.storage.servers), Finish(workers)
    scheduler.resume("default")
    seconds = finish.seconds(count)
    scheduler.wait_all(TIMEOUT)
    return count / seconds, meter.costs(count)
