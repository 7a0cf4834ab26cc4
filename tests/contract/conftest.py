"""All executors: whatever executes what one process has scheduled does it alike.

Each has a copy of one site, and goes on from test to test. When a test has failed, its
report has what the processes have logged meanwhile.
"""

from brokers import Redis
from clusters import Cluster
from contextlib import closing
from contextlib import ExitStack

import pytest


POOLS = ("prefork", "threads")  # of Celery
KINDS = ("memory", "database", *POOLS)
SLOTS = 2
# With the usual lease: nobody dies here, however long a busy machine lets him wait.
QUEUES = {"queues": f"imports={SLOTS} mail=1", "limits": "imports=1"}


class Executor:
    """An executor with two slots in each queue, "imports" with a limit of one.

    ``kind``: one of ``KINDS``; ``web``: the Instance that people use; ``cluster``: with
    it, and with whatever executes.
    """

    def __init__(self, kind, cluster):
        self.kind = kind
        self.cluster = cluster
        settings = {"role": "web"} if kind in POOLS else {"concurrency": SLOTS}
        if kind in POOLS:
            cluster.start("worker")  # while the other one starts
        (self.web,) = cluster.run(web=settings)
        if kind != "memory":
            self.web.get("probe-persist")
        if kind in POOLS:
            cluster.run(worker={})
        # Whatever each process does once is done.
        self.web.wait(self.web.schedule("answer", "it works"))

    def begin(self, task, mark, **options):
        """Schedule a task, and wait until it has begun; return its id."""
        id = self.web.schedule(task, mark, **options)
        self.cluster.who(f"{mark} has begun")
        return id

    def results(self, text):
        """Return the results of all tasks with this in their titles, as a list."""
        records = self.web.scheduler("records", text=text, limit=None)
        return [self.web.scheduler("peek_result", each["id"]) for each in records]


@pytest.fixture(scope="session", params=KINDS)
def shared_executor(request, site_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        settings = dict(QUEUES)
        if request.param in POOLS:
            broker = stack.enter_context(closing(Redis()))
            settings["celery_broker"] = broker.url
        workers = {"worker": ("-c", str(SLOTS), "--pool", request.param)}
        cluster = Cluster(folder, site_data, "zeo", workers, **settings)
        stack.enter_context(closing(cluster))
        yield Executor(request.param, cluster)


@pytest.fixture
def cluster(shared_executor):
    """The Cluster of the Executor."""
    shared_executor.cluster.skip_logs()
    return shared_executor.cluster


@pytest.fixture
def executor(shared_executor, cluster):
    """An Executor, by turns of each kind."""
    return shared_executor


@pytest.fixture
def web(executor):
    """The Instance that people use."""
    return executor.web
