"""What a task costs, in time and memory, when there are many of them."""

from benchmarks.measure import alternate
from benchmarks.measure import Row
from benchmarks.measure import size
from collective.background.capture.call import capture_call
from collective.background.executing.executor import process_executor
from collective.background.memory.scheduler import TransactionalScheduler
from collective.background.model.options import Options
from dataclasses import replace
from dm.zodb.asynchronous.scheduler import TransactionalScheduler as Peer
from time import perf_counter

import gc
import threading
import tracemalloc
import transaction


ROUNDS = size(15)
TASKS = size(100)  # of one round
FINISHED = size(10_000)
WAITING = size(1_000)
KEPT = size(2_000)  # of which the memory is measured
TIMEOUT = 600  # seconds
SLOTS = 4


def nothing(folder=None):
    """The body of a task."""


def measure(site):
    folder = site.countries
    # As good as empty: it keeps no more than what a round needs.
    empty, full = make_scheduler(keep_count=TASKS), make_scheduler(keep_count=FINISHED)
    run(full, FINISHED, folder)
    full.pause("waiting")
    wait_in_line(full, WAITING, folder)
    ours, other = alternate(
        ROUNDS, lambda: per_task(full, folder), lambda: per_task(empty, folder)
    )
    name = f"a task, {FINISHED:,} finished, {WAITING:,} waiting"
    yield Row(name, ours, "the same, empty", other, most=1.1)

    new, crowded = Peer(), Peer()
    run_peer(crowded, FINISHED)
    other, ours = alternate(size(3), lambda: peer_task(new), lambda: peer_task(crowded))
    yield Row(f"dm: a task, {FINISHED:,} finished", ours, "the same, empty", other)


def measure_memory(site):
    folder = site.countries
    scheduler = make_scheduler(keep_count=FINISHED)
    scheduler.pause("default")
    before = allocated()
    for _ in range(KEPT):
        add(scheduler, nothing, folder)
    transaction.commit()
    waiting = (allocated() - before) / KEPT
    peak = 0
    scheduler.resume("default")
    while scheduler.count(states={"queued", "running"}):
        alive = [t for t in threading.enumerate() if "-default-" in t.name]
        peak = max(peak, len(alive))
    scheduler.wait_all(TIMEOUT)
    finished = (allocated() - before) / KEPT
    yield Row("a waiting task", waiting, "target", 4096, "bytes", most=1)
    yield Row("a finished record", finished, "target", 2048, "bytes", most=1)
    yield Row("threads alive, at most", peak, "slots", SLOTS, "", most=1)


def make_scheduler(keep_count):
    # Of the process: the site may belong to its deployment.
    settings = replace(
        process_executor().settings,
        concurrency=SLOTS,
        queues={"waiting": 1},
        keep_count=keep_count,
    )
    return TransactionalScheduler(settings=settings)


def add(scheduler, function, *args, queue="default"):
    return scheduler.add_task(capture_call(function, args, {}), Options(queue=queue))


def run(scheduler, count, folder):
    for _ in range(count // TASKS):
        for _ in range(TASKS):
            add(scheduler, nothing, folder)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)


def wait_in_line(scheduler, count, folder):
    for _ in range(count):
        add(scheduler, nothing, folder, queue="waiting")
    transaction.commit()


def per_task(scheduler, folder):
    """Return milliseconds for one of TASKS tasks, from schedule to end."""
    start = perf_counter()
    ids = [add(scheduler, nothing, folder) for _ in range(TASKS)]
    transaction.commit()
    for id in ids:
        scheduler.wait(id, TIMEOUT)
    return (perf_counter() - start) * 1000 / TASKS


def run_peer(scheduler, count):
    for _ in range(count // TASKS):
        wait_for_peer(scheduler, schedule_peer(scheduler))


def schedule_peer(scheduler):
    ids = [scheduler.schedule(nothing) for _ in range(TASKS)]
    transaction.commit()
    return ids


def wait_for_peer(scheduler, ids):
    while not all(scheduler.completed(id) for id in ids):
        pass


def peer_task(scheduler):
    start = perf_counter()
    wait_for_peer(scheduler, schedule_peer(scheduler))
    return (perf_counter() - start) * 1000 / TASKS


def allocated():
    """Return how many bytes Python has allocated now."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
