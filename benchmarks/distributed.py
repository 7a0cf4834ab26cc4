"""Workers of Celery, beside plain Celery, and beside threads: small tasks on ZEO.

A task is an environment and one write. Each candidate has two slots, and the machine to
itself and the database: all others are stopped meanwhile.
"""

from benchmarks.cluster import committed
from benchmarks.cluster import Finish
from benchmarks.cluster import POOLS
from benchmarks.cluster import run_workers
from benchmarks.cluster import TIMEOUT
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.peer import celery
from benchmarks.peer import make_counted
from brokers import Redis
from collective.background import get_scheduler
from collective.background import using
from contextlib import closing
from dataclasses import dataclass
from instance_probe.costs import count
from statistics import median

import shutil


ROUNDS = size(2)
RUNS = size(2)  # of each round
SMALL = size(1_000, least=4)  # tasks
LEAST = {False: 0.45, True: 0.6}  # of plain Celery's tasks in a second, by ``rerun``


@dataclass(frozen=True)
class Cost:
    """Of a task, on an average, or of all tasks in a run.

    ``rate``: tasks in a second; ``worker``, ``relay``, ``server``: milliseconds of a
    processor, of the worker, of the instance that sends messages, of ZEO; ``commits``
    to the database, of all together.
    """

    rate: float
    worker: float
    relay: float
    server: float
    commits: float

    def __str__(self):
        return (
            f"    a task: {self.worker:.2f} ms of CPU in the worker, {self.relay:.2f} "
            f"where messages are sent, {self.server:.2f} in ZEO; "
            f"{self.commits:.2f} commits"
        )


def measure(folder, cluster):
    if shutil.which("redis-server") is None:
        yield "Celery is left out: there is no redis-server"
        return
    make_counted()
    found = {}
    for _ in range(ROUNDS):
        for name, costs in _round(folder, cluster):
            found.setdefault(name, []).append(costs)
    costs = {name: _medians(several) for name, several in found.items()}
    for pool in POOLS:
        plain = costs["plain", pool].rate
        for rerun, least in LEAST.items():
            mine = costs["tier", pool, rerun]
            name = f"{SMALL} small tasks, {pool}{', rerun' * rerun}"
            yield Row(name, mine.rate, "plain Celery", plain, "1/s", least=least)
            yield str(mine)
            threads = costs["database", rerun].rate
            yield Row("", mine.rate, "threads of an instance", threads, "1/s")
        yield str(costs["plain", pool])


def _round(folder, cluster):
    """Yield (name, Cost) of some runs of each candidate."""
    for pool in POOLS:
        with celery(cluster, pool) as peer:
            for _ in range(RUNS):
                meter = Meter(cluster, peer.worker, peer.worker)
                yield ("plain", pool), meter.cost(peer.run(SMALL), SMALL)
    (worker,) = run_workers(cluster, 1)
    yield from _runs(folder, cluster, worker, worker, "database")
    cluster.stop_others()
    for pool in POOLS:
        with closing(Redis()) as broker:
            settings = {"celery_broker": broker.url}
            names = {"web": {"role": "web", **settings}, pool: settings}
            web, worker = cluster.run(**names)
            yield from _runs(folder, cluster, worker, web, "tier", pool)
            cluster.stop_others()


def _runs(folder, cluster, worker, relay, *name):
    get_scheduler().wait_all(TIMEOUT)
    for rerun in LEAST:
        for _ in range(RUNS):
            yield (*name, rerun), run(folder, cluster, worker, relay, rerun)


def run(folder, cluster, worker, relay, rerun):
    """Return the Cost of so many tasks, which all wait before the first one starts."""
    scheduler = get_scheduler()
    committed(lambda: scheduler.pause("default"))

    def schedule_all():
        for number in range(SMALL):
            using(rerun=rerun).schedule(count, folder, number)

    committed(schedule_all)
    meter = Meter(cluster, worker, relay)
    finish = Finish({worker, relay})
    committed(lambda: scheduler.resume("default"))
    rate = SMALL / finish.seconds(SMALL)
    scheduler.wait_all(TIMEOUT)
    return meter.cost(rate, SMALL)


class Meter:
    """Counts from its creation on. ``relay``: may be the worker itself."""

    def __init__(self, cluster, worker, relay):
        self._cluster = cluster
        self._worker, self._relay = worker, relay
        self._before = self._now()

    def _now(self):
        processes = (self._worker, self._relay, self._cluster.storage.server)
        milliseconds = [each.seconds_computed() * 1000 for each in processes]
        return [*milliseconds, len(self._cluster.storage.transactions())]

    def cost(self, rate, tasks):
        """Return the Cost, if there were so many tasks since then."""
        spent = zip(self._before, self._now(), strict=True)
        worker, relay, server, commits = [(b - a) / tasks for a, b in spent]
        if self._relay is self._worker:
            relay = 0.0
        return Cost(rate, worker, relay, server, commits)


def _medians(costs):
    names = Cost.__dataclass_fields__
    return Cost(*(median(getattr(cost, name) for cost in costs) for name in names))
