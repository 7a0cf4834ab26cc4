"""What many waiting tasks cost: to schedule, to hold, and to start beside them."""

from benchmarks.cluster import committed
from benchmarks.cluster import run_workers
from benchmarks.cluster import SLOTS
from benchmarks.cluster import TIMEOUT
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.measure import timed
from collective.background import get_scheduler
from collective.background import using
from collective.background.executing.executor import process_executor
from dataclasses import replace
from instance_probe.tasks import nothing
from instance_probe.tasks import now
from statistics import median
from time import time

import transaction


AT_ONCE = size(1_000)  # tasks of one transaction
WAITING = size(20_000)
CHAIN = size(500, least=3)
QUEUES = {"crowded": SLOTS, "idle": SLOTS}
ROOM = 10 * WAITING  # tasks that may wait, of each user a quarter of them
SETTINGS = {
    "queues": " ".join(f"{name}={slots}" for name, slots in QUEUES.items()),
    "max_waiting": ROOM,
}
WORKER = "worker0"


def measure(folder, cluster):
    # Whoever schedules has to know the queues as well, and to have the room.
    executor = process_executor()
    executor.settings = replace(executor.settings, queues=QUEUES, max_waiting=ROOM)
    run_workers(cluster, 1, **SETTINGS)
    yield _chain(folder)
    scheduler = get_scheduler()
    scheduler.pause("crowded")
    empty, _ = _restart(folder, cluster)
    took = [_schedule_at_once(folder) for _ in range(WAITING // AT_ONCE)]
    name = f"{AT_ONCE} tasks in one transaction, each"
    yield Row(name, median(took) / AT_ONCE, "target", 0.5, most=1)
    full, seconds = _restart(folder, cluster)
    name = f"restart, {WAITING} waiting: until another begins"
    yield Row(name, seconds, "target", 1, "s", most=1)
    name = "memory of a worker, for one that waits"
    yield Row(name, (full - empty) / WAITING, "target", 1024, "bytes", most=1)


def _chain(folder):
    """Each starts after the one before."""

    def schedule_all():
        before = ()
        for _ in range(CHAIN):
            before = (using(after=before).schedule(nothing, folder),)

    committed(schedule_all)
    took = timed(lambda: get_scheduler().wait_all(TIMEOUT)) / 1000
    target = 10 * CHAIN / 500
    return Row(f"a chain of {CHAIN} tasks", took, "target", target, "s", most=1)


def _schedule_at_once(folder):
    def schedule_all():
        for _ in range(AT_ONCE):
            using(queue="crowded").schedule(nothing, folder)

    return timed(lambda: committed(schedule_all))


def _restart(folder, cluster):
    """Restart the worker; return its memory, and when an idle queue has begun.

    That is in bytes, and in seconds from when it serves.
    """
    cluster.stop(WORKER)
    id = committed(lambda: using(queue="idle").schedule(now, folder))
    (worker,) = run_workers(cluster, 1, **SETTINGS)
    served = time()
    get_scheduler().wait(id, TIMEOUT)
    transaction.begin()
    return worker.memory(), max(0.0, get_scheduler().peek_result(id) - served)
