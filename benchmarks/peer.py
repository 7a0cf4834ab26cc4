"""Plain Celery beside us: two threads, the same environment, one commit a task.

It is no requirement of the project: it is installed beside it where it is asked for,
and needs ``redis-server``. Where one of them is not to be had, it is left out.
"""

from benchmarks.cluster import Finish
from benchmarks.cluster import SLOTS
from benchmarks.instance import ROOT
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path
from processes import free_port
from processes import Process
from tempfile import TemporaryDirectory

import shutil
import subprocess
import sys


REQUIREMENTS = ("celery==5.7.0", "redis")
LIBRARY = Path(sys.prefix) / "peer"  # not on the path of anything else
INSTALLING = 300  # seconds
TASK = "nothing"


@contextmanager
def celery(cluster):
    """Yield a Peer, which uses the database of a Cluster, or None."""
    reason = _hindrance()
    if reason is not None:
        print(f"Celery is left out: {reason}", flush=True)
        yield None
        return
    # At the end: what the project has is not to be replaced.
    sys.path.append(str(LIBRARY))
    with TemporaryDirectory() as folder, closing(Peer(cluster, folder)) as peer:
        yield peer


def _hindrance():
    """Return why there is no Celery, or None."""
    if shutil.which("redis-server") is None:
        return "there is no redis-server (apt-get install redis-server)"
    if LIBRARY.exists():
        return None
    if "--quick" in sys.argv:
        return "it is not installed, and not wanted enough for that with --quick"
    print("Installing Celery ...", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--target", LIBRARY]
    done = subprocess.run(
        [*command, *REQUIREMENTS], capture_output=True, text=True, timeout=INSTALLING
    )
    if done.returncode:
        shutil.rmtree(LIBRARY, ignore_errors=True)
        return done.stderr
    return None


class Peer:
    """A broker, and a worker of Celery with as many threads as one of ours."""

    def __init__(self, cluster, folder):
        from celery import Celery

        port = free_port()
        options = ("--port", str(port), "--save", "", "--dir", folder)
        self._redis = Process(
            "Redis", "redis-server", *options, stdout=subprocess.DEVNULL
        )
        broker = f"redis://127.0.0.1:{port}/0"
        command = (sys.executable, "-m", "benchmarks.celery_worker")
        where = cluster.folder("celery")
        self._worker = Process(
            "Celery",
            *(*command, LIBRARY, where, broker, str(SLOTS)),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        self._worker.expect("ready")
        self._app = Celery(broker=broker)

    def run(self, count):
        """Return how many of so many tasks end in a second."""
        control, queue = self._app.control, self._app.conf.task_default_queue
        control.cancel_consumer(queue, reply=True)
        for _ in range(count):
            self._app.send_task(TASK)
        finish = Finish([self._worker])
        control.add_consumer(queue)
        return count / finish.seconds(count)

    def close(self):
        self._worker.kill()
        self._redis.kill()
