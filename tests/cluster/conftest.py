"""Instances that share a database: real processes, which tests may kill.

There is a cluster for each storage, and all of them have copies of one site. Instances
go on from test to test unless one needs other settings. When a test has failed, its
report has what each process has logged meanwhile.
"""

from choosing import is_wanted
from choosing import LEASE
from clusters import Cluster
from clusters import STORAGES

import pytest


# What most tests need.
USUAL = {"a": {}, "web": {"role": "web"}}


def pytest_configure(config):
    config.addinivalue_line("markers", "elsewhere: see choosing.py")


def pytest_collection_modifyitems(items):
    items[:] = filter(is_wanted, items)


@pytest.fixture(scope="session", params=STORAGES)
def shared_cluster(request, site_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    cluster = Cluster(folder, site_data, request.param, lease=LEASE)
    try:
        (a,) = cluster.run(a={})
        a.get("probe-persist")
        # Otherwise it would look for such a site once a minute only.
        a.wait(a.schedule("answer", "it knows"))
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def cluster(shared_cluster):
    """A Cluster, see ``clusters.py``."""
    shared_cluster.skip_logs()
    yield shared_cluster
    shared_cluster.tidy(USUAL)


@pytest.fixture
def instances(cluster):
    """Two: one that executes, and one that only schedules."""
    return cluster.run(**USUAL)
