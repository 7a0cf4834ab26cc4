"""Workers of Celery as real processes, with Redis: how these, and children, end."""

from brokers import Redis
from celery import Celery
from clusters import Cluster
from contextlib import closing
from contextlib import ExitStack
from processes import END
from threading import Event
from time import monotonic

import pytest
import signal


pytestmark = pytest.mark.slow

LEASE = 10  # seconds; on a busy machine an instance is silent for a while
TASKS = 2  # of a child, which is replaced then
WORKERS = {
    "processes": ("-c", "1", "--max-tasks-per-child", str(TASKS)),
    "threads": ("-c", "2", "--pool", "threads"),
}


@pytest.fixture(scope="module")
def broker():
    with closing(Redis()) as broker:
        yield broker


@pytest.fixture(scope="module")
def shared(site_data, tmp_path_factory, broker):
    """A cluster with an instance that does not execute, without workers so far."""
    folder = tmp_path_factory.mktemp("celery")
    settings = {"celery_broker": broker.url, "lease": LEASE}
    with ExitStack() as stack:
        cluster = Cluster(folder, site_data, "zeo", WORKERS, **settings)
        stack.enter_context(closing(cluster))
        worker = cluster.start("processes")
        (web,) = cluster.run(web={"role": "web"})
        web.get("probe-persist")
        worker.serves()
        yield cluster


@pytest.fixture
def cluster(shared):
    shared.skip_logs()
    return shared


@pytest.fixture
def web(cluster):
    return cluster.start("web", role="web")


@pytest.fixture
def processes(cluster):
    worker = cluster.start("processes")
    cluster.stop_others(processes={}, web={"role": "web"})
    return worker.serves()


@pytest.fixture
def threads(cluster):
    worker = cluster.start("threads")
    cluster.stop_others(threads={}, web={"role": "web"})
    return worker.serves()


def begin(worker, web, task, mark, **options):
    """Schedule a task, and wait until it has begun there; return its id."""
    id = web.schedule(task, mark, **options)
    worker.expect(f"{mark} has begun")
    return id


def workers(web):
    """Return the ids of the instances that are workers of Celery."""
    instances = web.scheduler("instances")
    return {each["id"] for each in instances if each["role"] == "celery"}


def until(condition):
    """Wait for what instances write a moment later."""
    end = monotonic() + END
    while not condition():
        assert monotonic() < end
        Event().wait(0.1)


class TestChildren:
    def test_are_replaced_in_order(self, web, processes):
        ids = [web.schedule("answer", f"{number}") for number in range(TASKS + 1)]
        records = [web.wait(id) for id in ids]
        assert {record["state"] for record in records} == {"succeeded"}
        # On a busy machine a message may come twice, which counts for a child, too.
        assert len({record["instance"] for record in records}) >= 2
        # The first one has said that it ends, so nobody waits for its lease.
        until(lambda: records[0]["instance"] not in workers(web))
        assert not web.lines_with("was silent for")

    def test_are_ended_by_the_hard_limit_of_a_task(self, web, processes, broker):
        id = begin(processes, web, "hang", "A title", hard_timeout=2)
        asked = Celery(broker=broker.url).control.inspect(timeout=10)
        [[request]] = asked.active().values()
        assert request["name"] == "A title"
        record = web.wait(id)
        assert record["state"] == "lost"
        assert "longer than its hard_timeout of 2 seconds" in record["error"]["message"]
        after = web.wait(web.schedule("answer", "after"))
        assert after["instance"] != record["instance"]


class TestTheWarmShutdown:
    @pytest.mark.parametrize("kind", WORKERS)
    def test_waits_for_what_runs_and_leaves_nothing(self, request, web, kind, tmp_path):
        worker = request.getfixturevalue(kind)
        mark = str(tmp_path / kind)
        id = begin(worker, web, "create_later", mark)
        worker.send(signal.SIGTERM)
        open(mark, "x").close()
        worker.has_ended()
        assert worker.status == 0
        assert web.wait(id)["state"] == "succeeded"
        assert web.done(mark) == (1, 1)
        until(lambda: not workers(web))


class TestTheColdShutdown:
    @pytest.mark.parametrize("kind", WORKERS)
    def test_is_as_a_power_cut(self, request, web, kind, tmp_path):
        worker = request.getfixturevalue(kind)
        mark = str(tmp_path / kind)
        again = begin(worker, web, "create_later", mark, rerun=True)
        # Before that, nobody knows that this attempt has begun.
        until(lambda: web.scheduler("record", again)["state"] == "running")
        worker.send(signal.SIGQUIT)
        if kind == "threads":
            worker.kill()  # its threads go on
        worker.has_ended()
        open(mark, "x").close()
        request.getfixturevalue("cluster").start(kind).serves()
        record = web.wait(again)
        assert (record["state"], record["attempts"]) == ("succeeded", 2)
        assert web.done(mark) == (1, 1)
