"""Workers of Celery, Redis, and an instance that only schedules: real processes.

They go on from test to test. When a test has failed, its report has what each of them
has logged meanwhile.
"""

from brokers import Redis
from clusters import Cluster
from contextlib import closing

import pytest


LEASE = 10  # seconds; on a busy machine an instance is silent for a while
WORKERS = dict.fromkeys(("one", "two"), ("-c", "2"))


class CeleryCluster(Cluster):
    """``broker``: a Redis; ``faults``: where files let a process be killed at a point,
    see ``instance_probe/faults.py``."""

    def __init__(self, folder, data):
        self.broker = Redis()
        self.faults = folder / "faults"
        self.faults.mkdir()
        # Not of this process, which may start those of other clusters.
        variables = {"PROBE_FAULTS": str(self.faults)}
        settings = {"lease": LEASE, "celery_broker": self.broker.url}
        super().__init__(folder, data, "zeo", WORKERS, variables, **settings)

    def logs(self):
        server = self.broker.server
        return [*super().logs(), (server.name, server.recent_log())]

    def close(self):
        super().close()
        self.broker.close()


@pytest.fixture(scope="session")
def shared_celery(site_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("celery")
    with closing(CeleryCluster(folder, site_data)) as cluster:
        (web,) = cluster.run(web={"role": "web"})
        web.get("probe-persist")
        cluster.run(one={})
        web.wait(web.schedule("answer", "it knows the site"))
        yield cluster


@pytest.fixture
def cluster(shared_celery):
    """A CeleryCluster."""
    shared_celery.skip_logs()
    yield shared_celery
    shared_celery.tidy(["web", "one"])


@pytest.fixture
def broker(cluster):
    """The Redis server."""
    return cluster.broker


@pytest.fixture
def web(cluster):
    """The Instance that schedules."""
    (web,) = cluster.run(web={"role": "web"})
    return web


@pytest.fixture
def worker(cluster, web):
    """The CeleryWorker that executes, if no other one was started."""
    (one,) = cluster.run(one={})
    web.wait(web.schedule("answer", "all know one another"))
    return one
