"""What workers in processes of their own do, and what visitors notice of it."""

from benchmarks.cluster import committed
from benchmarks.cluster import run_workers
from benchmarks.cluster import SLOTS
from benchmarks.cluster import TIMEOUT
from benchmarks.measure import alternate
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.politeness import Client
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from instance_probe.tasks import compute
from instance_probe.tasks import now
from statistics import median
from time import sleep
from time import time

import transaction


PICK_UPS = size(100)
BESIDE = size(4, least=SLOTS)  # tasks that compute
ROUNDS = size(9)
PAGES = size(8)  # of one round
IDLE = size(60)  # seconds


def measure(folder, cluster):
    (worker,) = run_workers(cluster, 1)
    get_scheduler().wait_all(TIMEOUT)
    yield Row("until a worker begins", pick_up(folder), "target", 100, most=1)
    yield Row("a worker without work", idle(worker), "target", 0.2, "%", most=1)
    worker, _ = run_workers(cluster, 2)  # each could take what is the other's
    yield Row("one of two without work", idle(worker), "target", 0.2, "%", most=1)
    alone, beside = pages(folder, cluster)
    name = f"a page beside a worker with {BESIDE} tasks"
    yield Row(name, beside, "idle", alone)


def pick_up(folder):
    """Return the median of the milliseconds from commit to the task's first line."""
    return median(_pick_up(folder) for _ in range(PICK_UPS))


def _pick_up(folder):
    id = committed(lambda: schedule(now, folder))
    start = time()
    get_scheduler().wait(id, TIMEOUT)
    transaction.begin()
    return (get_scheduler().peek_result(id) - start) * 1000


def idle(worker):
    """Return how much of a core a process uses that has nothing to do, in percent."""
    before = worker.seconds_computed()
    sleep(IDLE)
    return (worker.seconds_computed() - before) / IDLE * 100


def pages(folder, cluster):
    """Return the medians of a page's milliseconds: while nothing runs, and beside."""
    (worker,) = run_workers(cluster, 1, concurrency=BESIDE)
    (web,) = cluster.run(web={"role": "web"})
    with Client(f"{web.url}/countries") as client:

        def visit(tasks):
            ids = [_begin(folder, worker, number) for number in range(tasks)]
            result = client.visit(PAGES)
            for id in ids:
                get_scheduler().cancel(id)
            get_scheduler().wait_all(TIMEOUT)
            return result

        return alternate(ROUNDS, lambda: visit(0), lambda: visit(BESIDE))


def _begin(folder, worker, number):
    name = f"number {number}"
    id = committed(lambda: using(title=name).schedule(compute, folder, name))
    worker.expect(f"{name} has begun")
    return id
