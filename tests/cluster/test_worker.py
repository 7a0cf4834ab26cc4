"""A worker beside an instance that only serves visitors, and commands beside both."""

from choosing import LEASE
from choosing import only_on_zeo
from instances import background
from instances import Worker
from processes import END
from processes import run_anyhow
from threading import Event
from time import monotonic

import json
import pytest
import requests
import signal


pytestmark = [pytest.mark.slow, only_on_zeo]

QUEUE = "for-the-worker"  # which no other instance has


@pytest.fixture
def web(cluster):
    (web,) = cluster.run(web={"role": "web"})
    return web


@pytest.fixture
def worker(cluster):
    settings = {"role": "web", "queues": f"{QUEUE}=1", "lease": LEASE}
    settings["drain_timeout"] = 3600
    folder = cluster.folder("worker")
    options = ("--health-port", "0", "--logging", folder / "etc" / "zope.ini")
    worker = Worker(folder, *options, **settings)
    yield worker.serves()
    worker.kill()


@pytest.fixture
def command(cluster):
    """Return a function that runs a command, and returns its exit code and answer."""

    def command(*arguments):
        done = run_anyhow(*background(cluster.folder("web")), *arguments, "--json")
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    return command


def probe(worker):
    """Return a function that asks the worker how it is: a path, to status and text."""
    [line] = worker.lines_with("probes are answered at")
    address = line.split()[-1]

    def ask(path):
        answer = requests.get(f"{address}/{path}", timeout=10)
        return answer.status_code, answer.text

    return ask


def until(ask, path, status):
    """Wait until a probe is answered with this status."""
    end = monotonic() + END
    while ask(path)[0] != status:
        assert monotonic() < end
        Event().wait(0.05)


def test_a_worker(cluster, web, worker, command, tmp_path):
    """One story, since each process takes its time to start."""
    ask = probe(worker)
    assert ask("live") == (200, "alive\n")
    assert ask("else")[0] == 404
    until(ask, "ready", 200)

    # It executes what others schedule, and a command waits for that.
    id = web.schedule("answer", "some mark", queue=QUEUE)
    code, [task] = command("wait", id)
    assert (code, task["state"]) == (0, "succeeded")
    assert f":{worker.pid}:" in task["instance"]

    # A command cancels what runs there.
    mark = str(tmp_path / "never")
    id = web.schedule("create_unless_cancelled", mark, queue=QUEUE)
    worker.expect(f"{mark} has begun")
    code, [task] = command("cancel", id)
    assert (code, task["cancel_requested"]) == (0, True)
    assert web.wait(id)["state"] == "cancelled"

    # At its end it waits for what runs; a second signal ends that.
    file = tmp_path / "later"
    id = web.schedule("create_later", str(file), queue=QUEUE)
    worker.expect(f"{file} has begun")
    worker.send(signal.SIGTERM)
    until(ask, "ready", 503)
    assert ask("ready")[1] == "this process is about to end\n"
    assert ask("live")[0] == 200
    worker.send(signal.SIGTERM)
    log = worker.has_ended()
    assert worker.status == 0
    assert any("not waiting for tasks any longer" in line for line in log)
    assert (cluster.folder("worker") / "var/log/event.log").read_text().splitlines()
    assert web.wait(id)["state"] == "lost"
