"""A whole Zope instance: what it keeps, and how it ends.

One instance with one site; every test starts a server of its own on it.
"""

from contextlib import closing
from pathlib import Path
from queue import Queue
from threading import Thread

import os
import pytest
import requests
import shutil
import signal
import socket
import subprocess
import sys


pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
SKELETON = TESTS.parent / "demo" / "skeleton"
PROBE = TESTS / "instance_probe"
SCRIPTS = Path(sys.executable).parent

START = 120  # seconds in which a server must answer
END = 60  # seconds in which it must have ended
NEVER = 3600  # seconds; tests that wait for that fail


def environ(**settings):
    variables = {f"BACKGROUND_{name.upper()}": str(settings[name]) for name in settings}
    return {**os.environ, "PYTHONPATH": str(TESTS), **variables}


def run(script, *arguments):
    subprocess.run(
        [SCRIPTS / script, *arguments], env=environ(), check=True, capture_output=True
    )


@pytest.fixture(scope="session")
def instance(tmp_path_factory):
    """The folder of an instance with a site, on a FileStorage."""
    folder = tmp_path_factory.mktemp("instance")
    run("mkwsgiinstance", "-d", folder, "-s", SKELETON, "-u", "admin:admin")
    shutil.copy(PROBE / "site.zcml", folder / "etc")
    run("zconsole", "run", folder / "etc" / "zope.conf", PROBE / "create_site.py")
    return folder


class Server:
    """A process that serves the instance; ``log``: the lines that were read of it."""

    def __init__(self, instance, **settings):
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        self._url = f"http://localhost:{port}/Plone"
        self._process = subprocess.Popen(
            [SCRIPTS / "runwsgi", instance / "etc" / "zope.ini", f"http_port={port}"],
            env=environ(**settings),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = []
        self._lines = Queue()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stderr:
            self._lines.put(line.rstrip())
        self._lines.put(None)

    def expect(self, *texts, timeout=END):
        """Read the log until there is a line with all of these texts."""
        while (line := self._lines.get(timeout=timeout)) is not None:
            self.log.append(line)
            if all(text in line for text in texts):
                return
        pytest.fail("\n".join([f"the server has ended without {texts}", *self.log]))

    def get(self, view, **form):
        """Return what a view answers to the administrator."""
        answer = requests.get(
            f"{self._url}/{view}", form, auth=("admin", "admin"), timeout=END
        )
        answer.raise_for_status()
        return answer

    def begin(self, task, mark):
        """Start a task of the probe, and wait until it has begun."""
        self.get("probe-start", task=task, mark=mark)
        self.expect(f"{mark} has begun")

    def send(self, signum):
        self._process.send_signal(signum)

    def has_ended(self):
        """Wait for the end of the process; return the lines that it has logged."""
        self._process.wait(END)
        self._reader.join(END)
        while (line := self._lines.get()) is not None:
            self.log.append(line)
        return self.log

    def kill(self):
        self._process.kill()
        self._process.wait(END)
        self._reader.join(END)
        self._process.stderr.close()


@pytest.fixture
def serve(instance):
    """Return a function that starts a server with the given settings.

    ``until``: what it has to log before the test goes on.
    """
    servers = []

    def serve(until="Serving on", **settings):
        server = Server(instance, **settings)
        servers.append(server)
        server.expect(until, timeout=START)
        return server

    yield serve
    for server in servers:
        server.kill()


def lines_with(log, *texts):
    return [line for line in log if all(text in line for text in texts)]


def test_what_tasks_write_survives_a_restart(serve):
    """Zope would use a temporary database if "Testing" were imported early."""
    server = serve()
    server.get("probe-start", task="write", mark="kept")
    server.expect("'kept' of admin in queue default: succeeded")
    assert "Testing" not in server.get("probe-modules").json()
    server.send(signal.SIGTERM)
    server.has_ended()
    assert "kept" in serve().get("probe-marks").json()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_tasks_stop_in_order(serve, signum):
    """One is cancelled, one comes to its end; what waits is named in the log."""
    server = serve(concurrency=2, drain_timeout=NEVER)
    finished = f"finished at {signum.name}"
    server.begin("cooperate", "cancelled one")
    server.begin("finish", finished)
    server.get("probe-start", task="write", mark="waiting one")
    server.send(signum)
    log = server.has_ended()
    assert lines_with(log, "'cancelled one' of admin in queue default: cancelled")
    assert lines_with(log, f"{finished!r} of admin in queue default: succeeded")
    assert lines_with(log, "'waiting one' of admin in queue default: lost")
    assert not lines_with(log, "Traceback")
    marks = serve().get("probe-marks").json()
    assert finished in marks
    assert "waiting one" not in marks


def test_a_task_that_does_not_stop_is_waited_for_a_while_only(serve):
    server = serve(drain_timeout=1)
    server.begin("hang", "hanging one")
    server.send(signal.SIGTERM)
    log = server.has_ended()
    assert lines_with(log, "'hanging one' of admin in queue default: lost")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_waiting(serve, second):
    server = serve(drain_timeout=NEVER)
    server.begin("hang", "hanging one")
    server.send(signal.SIGTERM)
    server.expect("SIGTERM: waiting for running tasks")
    server.send(second)
    log = server.has_ended()
    assert lines_with(log, f"{second.name} again")
    assert lines_with(log, "'hanging one' of admin in queue default: lost")


def test_signals_can_be_left_to_others(serve):
    server = serve(handle_signals="off", drain_timeout=NEVER)
    server.begin("hang", "hanging one")
    server.send(signal.SIGTERM)
    assert not lines_with(server.has_ended(), "waiting for running tasks")


def test_a_wrong_setting_is_told_at_the_start(serve):
    """And not when somebody schedules the first task."""
    server = serve(until="concurrency is 'many'; expected a ", concurrency="many")
    assert not lines_with(server.has_ended(), "Serving on")


def test_log_records_and_metrics_tell_of_tasks(serve):
    server = serve()
    task_id = server.get("probe-start", task="write_log_id", mark="logged").text
    server.expect("'logged' of admin in queue default: succeeded")
    assert f"logged {task_id}" in server.get("probe-marks").json()
    pytest.importorskip("plone.observability")
    counted = 'collective_background_transitions_total{scope="instance",'
    expected = f'{counted}queue="default",state="succeeded"}} 1'
    assert expected in server.get("../@@metrics").text.splitlines()


def test_a_script_can_wait_for_its_tasks(instance):
    run("zconsole", "run", instance / "etc" / "zope.conf", PROBE / "script.py")


def test_recurring_tasks_begin_with_the_server_and_end_with_it(serve, monkeypatch):
    monkeypatch.setenv("PROBE_HEART", "beats")
    server = serve()
    for _ in range(2):
        server.expect("'heart' of admin in queue default: succeeded")
    server.send(signal.SIGTERM)
    log = server.has_ended()
    assert lines_with(log, "recurring task 'instance_probe.beat': every 0:00:01")
    assert not lines_with(log, "Traceback")
