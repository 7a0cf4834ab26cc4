"""RabbitMQ between an instance and workers of both kinds: each task is done once."""

from brokers import RabbitMQ
from clusters import Cluster
from contextlib import closing

import pytest
import signal


pytestmark = pytest.mark.slow

LEASE = 5  # seconds; on a busy machine an instance is silent for a while
WORKERS = {"processes": ("-c", "1"), "threads": ("-c", "2", "--pool", "threads")}
NUMBER = 16  # tasks; more than are sent at once
SOON = 40  # seconds in which who is not answered must have ended


@pytest.fixture(scope="module")
def broker():
    with closing(RabbitMQ()) as broker:
        yield broker


@pytest.fixture(scope="module")
def cluster(site_data, tmp_path_factory, broker):
    """All on one machine, where RabbitMQ lets no two workers have the same name."""
    folder = tmp_path_factory.mktemp("rabbitmq")
    settings = {"celery_broker": broker.url, "lease": LEASE}
    with closing(Cluster(folder, site_data, "zeo", WORKERS, **settings)) as cluster:
        for name in WORKERS:
            cluster.start(name)
        cluster.run(web={"role": "web"})[0].get("probe-persist")
        cluster.run(processes={}, threads={})
        yield cluster


@pytest.fixture
def web(cluster):
    (web,) = cluster.run(web={"role": "web"})
    return web


def schedule(web, name):
    """Schedule tasks, and return their marks."""
    marks = [f"{name} {index}" for index in range(NUMBER)]
    web.schedule_many("create", marks)
    return marks


def all_succeed_once(web, marks):
    web.wait_all()
    done = web.marks()
    assert {mark: done.get(mark) for mark in marks} == dict.fromkeys(marks, 1)


def test_it_is_started_again_and_loses_messages(web, broker):
    marks = schedule(web, "started again")
    broker.stop()
    broker.start()
    broker.flush()
    all_succeed_once(web, marks)


def test_its_memory_is_full(cluster, web, broker):
    """No request and no end of a process waits for it."""
    with broker.full():
        marks = schedule(web, "full")
        web.expect("the broker cannot be reached")
        processes = [cluster.start(name) for name in WORKERS]
        for process in (web, *processes):
            process.send(signal.SIGTERM)
        for process in (web, *processes):
            process.has_ended(SOON)
            assert process.status == 0
    web, _ = cluster.run(web={"role": "web"}, threads={})
    all_succeed_once(web, marks)
