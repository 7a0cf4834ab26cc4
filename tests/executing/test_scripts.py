"""Scripts whose tasks are in their memory: real processes, on a site of their own."""

from instances import PROBE
from instances import zope_conf
from processes import run
from processes import run_anyhow
from processes import SCRIPTS

import pytest
import signal


pytestmark = pytest.mark.slow

NEVER = 3600  # seconds; who waits for that does not end in time


@pytest.fixture
def command(instance):
    """Return a function: the command that runs a script of the probe."""

    def command(name):
        script = PROBE / "scripts" / name
        return SCRIPTS / "zconsole", "run", zope_conf(instance), script

    return command


def test_one_can_wait_for_its_tasks(command):
    done = run(*command("wait.py"), settings={"drain_timeout": NEVER})
    assert "lost" not in done.stderr


def test_one_that_ends_before_its_tasks_is_told_so(command):
    """On standard error, for people, and in the log."""
    settings = {"concurrency": 1, "drain_timeout": 0}
    done = run(*command("leave_unfinished.py"), settings=settings)
    lines = done.stderr.splitlines()
    [told] = [line for line in lines if "are lost: " in line]
    logged = [line for line in lines if "in queue default: lost" in line]
    for title in ("'hanging one'", "'waiting one'"):
        assert title in told
        assert any(title in line for line in logged)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_in_a_commit_ends_it(command, monkeypatch, name):
    """Whatever its own thread holds at that moment."""
    monkeypatch.setenv("PROBE_SIGNAL", name)
    settings = {"concurrency": 1, "drain_timeout": 0}
    done = run_anyhow(*command("interrupt.py"), settings=settings)
    assert -done.returncode == signal.Signals[name], done.stderr


def test_a_child_has_tasks_of_its_own(command):
    """And those of its parent are done by the parent only."""
    done = run(*command("fork.py"), settings={"concurrency": 1})
    runs = [line.split() for line in done.stdout.splitlines()]
    assert sorted(name for name, *_ in runs) == [
        "child",
        "parent",
        "running",
        "waiting",
    ]
    [child] = [(pid, instance) for name, pid, instance in runs if name == "child"]
    parents = {(pid, instance) for name, pid, instance in runs if name != "child"}
    assert len(parents) == 1
    [parent] = parents
    assert child[0] != parent[0] and child[1] != parent[1]
