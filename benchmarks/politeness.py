"""How much longer a page takes while tasks compute, polite ones and others."""

from benchmarks.growth import add
from benchmarks.growth import make_scheduler
from benchmarks.growth import TIMEOUT
from benchmarks.instance import ROOT
from benchmarks.measure import alternate
from benchmarks.measure import Row
from benchmarks.measure import size
from collective.background import current_task
from time import thread_time

import subprocess
import sys
import threading
import transaction


ROUNDS = size(9)
PAGES = size(8)  # of one round
PAGES_IMPOLITE = size(2)  # they take seconds
WORK = 0.001  # seconds that are computed between two cancellation points

began = threading.Semaphore(0)
stop = threading.Event()


def compute(polite):
    """The body of a task: computes until it is stopped."""
    began.release()
    while not stop.is_set():
        end = thread_time() + WORK
        while thread_time() < end:
            pass
        if polite:
            current_task().check_cancelled()


def measure(port):
    scheduler = make_scheduler(keep_count=0)
    with Client(f"http://localhost:{port}/Plone/countries") as client:

        def page(tasks, polite=True):
            stop.clear()
            for _ in range(tasks):
                add(scheduler, compute, polite)
            transaction.commit()
            for _ in range(tasks):
                began.acquire()
            result = client.visit(PAGES if polite else PAGES_IMPOLITE)
            stop.set()
            scheduler.wait_all(TIMEOUT)
            return result

        idle, *polite = alternate(
            ROUNDS, lambda: page(0), lambda: page(1), lambda: page(4)
        )
        yield Row("a page beside 1 polite task", polite[0], "idle", idle, most=1.5)
        yield Row("a page beside 4 polite tasks", polite[1], "idle", idle, most=1.5)
        impolite = alternate(size(3), lambda: page(1, False), lambda: page(4, False))
        yield Row("a page beside 1 impolite task", impolite[0], "idle", idle)
        yield Row("a page beside 4 impolite tasks", impolite[1], "idle", idle)


class Client:
    """The process of ``client.py``, for the time of a ``with`` block."""

    def __init__(self, url):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.client", url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def visit(self, pages):
        """Return the median of the milliseconds that a page takes."""
        print(pages, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())
