"""A site that keeps its tasks in a database, which workers share; this process is none.

It only schedules; workers and the web server are processes of their own.
"""

from benchmarks.instance import opened
from clusters import Cluster
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from time import sleep
from transaction.interfaces import TransientError

import logging
import os
import shutil
import transaction


TIMEOUT = 600  # seconds
GLANCE = 0.01  # seconds
REST = 0.1
SLOTS = 2  # of a worker
POOLS = ("prefork", "threads")  # of Celery
WORKERS = {pool: ("-c", str(SLOTS), "--pool", pool) for pool in POOLS}
WAITING = "100000"  # tasks; the editor has a quarter of that

# In the line of the log that each task leaves.
SUCCEEDED, FAILED = ": succeeded", ": failed"


class Measured(Cluster):
    """A Cluster whose instances have nothing of the tests but what counts costs."""

    def folder(self, name):
        folder = super().folder(name)
        shutil.copy(Path(__file__).parent / "site.zcml", folder / "etc")
        return folder


@contextmanager
def opened_cluster(where, storage):
    """Yield a Cluster, and a folder of the site, as its editor.

    ``where``: of an instance with a site, of which it gets a copy; ``storage``: the
    name of one.
    """
    os.environ["PROBE_COSTS"] = "1"
    os.environ["BACKGROUND_MAX_WAITING"] = WAITING
    with (
        TemporaryDirectory() as folder,
        closing(
            Measured(Path(folder), Path(where) / "var", storage, WORKERS)
        ) as cluster,
        opened(cluster.folder("client")),
    ):
        logging.disable(logging.WARNING)
        from benchmarks.site import as_editor
        from collective.background.database.installing import install

        with as_editor() as site:
            install(site)
            transaction.commit()
        with as_editor() as site:
            yield cluster, site.countries


def run_workers(cluster, number, **settings):
    """Return so many Instances that execute tasks, once they all know one another."""
    from collective.background import get_scheduler

    settings = {"role": "worker", "concurrency": SLOTS, **settings}
    names = {f"worker{index}": settings for index in range(number)}
    cluster.stop_others(**names)
    workers = cluster.run(**names)
    while len(get_scheduler().instances()) != number:
        sleep(REST)
        transaction.begin()
    return workers


def committed(work):
    """Commit what ``work()`` does, and do it again if it conflicts, as a publisher."""
    while True:
        try:
            result = work()
            transaction.commit()
            return result
        except TransientError:
            transaction.abort()


class Finish:
    """Waits for ends of tasks by the logs: that costs neither workers nor server.

    ``processes``: that are to execute them from now on.
    """

    def __init__(self, processes):
        self._processes = processes
        self._lines = [len(process.log) for process in processes]
        self._ended = 0
        self._start = perf_counter()

    def seconds(self, tasks):
        """Return when so many have ended, in seconds from the beginning.

        Raises TimeoutError if they have not.
        """
        while self._count() < tasks:
            if perf_counter() - self._start > TIMEOUT:
                raise TimeoutError(f"{self._ended} of {tasks} tasks have ended")
            sleep(GLANCE)
        return perf_counter() - self._start

    def _count(self):
        for index, process in enumerate(self._processes):
            seen = self._lines[index]
            self._lines[index] = known = len(process.log)
            new = process.log[seen:known]
            self._ended += sum(SUCCEEDED in line or FAILED in line for line in new)
        return self._ended
