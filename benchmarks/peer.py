"""Plain Celery beside us: the same environment, one write and one commit a task.

It needs ``redis-server``. Where that is not to be had, it is left out.
"""

from benchmarks.cluster import committed
from benchmarks.cluster import Finish
from benchmarks.cluster import SLOTS
from benchmarks.instance import ROOT
from brokers import Redis
from contextlib import closing
from contextlib import contextmanager
from instance_probe.costs import Counted
from plone import api
from processes import Leader
from processes import who

import celery as plain
import shutil
import subprocess
import sys


TASK = "count"
COUNTED = 1_000  # objects; each task writes one of them, so that none conflict


@contextmanager
def celery(cluster, pool="threads"):
    """Yield a Peer, which uses the database of a Cluster, or None.

    ``pool``: of its worker, "threads" or "prefork".
    """
    if shutil.which("redis-server") is None:
        print("Celery is left out: there is no redis-server", flush=True)
        yield None
        return
    make_counted()
    with closing(Redis()) as broker, closing(Peer(cluster, broker, pool)) as peer:
        yield peer


def make_counted():
    """Let the site have what tasks write."""
    site = api.portal.get()
    if not hasattr(site, "counted_apart"):

        def make():
            site.counted_apart = [Counted() for _ in range(COUNTED)]

        committed(make)


class Peer:
    """A worker of Celery with as many slots as one of ours. ``broker``: a Redis."""

    def __init__(self, cluster, broker, pool):
        command = (sys.executable, "-m", "benchmarks.celery_worker")
        where = cluster.folder("celery")
        self.worker = Leader(
            "Celery",
            *(*command, where, broker.url, str(SLOTS), pool),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        who([self.worker], "ready")
        who([self.worker], "open", times=SLOTS if pool == "prefork" else 1)
        self._app = plain.Celery(broker=broker.url, set_as_current=False)

    def run(self, count):
        """Return how many of so many tasks end in a second."""
        control, queue = self._app.control, self._app.conf.task_default_queue
        control.cancel_consumer(queue, reply=True)
        for number in range(count):
            self._app.send_task(TASK, (number,))
        finish = Finish([self.worker])
        control.add_consumer(queue)
        return count / finish.seconds(count)

    def close(self):
        self.worker.kill()
