"""A whole Zope instance: what it keeps, and how it ends.

One instance with one site; every test starts a server of its own on it.
"""

from servers import Gunicorn
from servers import Waitress

import pytest
import signal


pytestmark = pytest.mark.slow

NEVER = 3600  # seconds; tests that wait for that fail


def lines_with(log, *texts):
    return [line for line in log if all(text in line for text in texts)]


def test_what_tasks_write_survives_a_restart(serve):
    """Zope would use a temporary database if "Testing" were imported early."""
    server = serve()
    server.schedule("write", "kept")
    server.expect("'kept' of admin in queue default: succeeded")
    assert "Testing" not in server.get("probe-modules").json()
    server.send(signal.SIGTERM)
    server.has_ended()
    assert "kept" in serve().marks()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_tasks_stop_in_order(serve, signum):
    """One is cancelled, one comes to its end; what waits is named in the log."""
    server = serve(concurrency=2, drain_timeout=NEVER)
    finished = f"finished at {signum.name}"
    server.begin("cooperate", "cancelled one")
    server.begin("finish", finished)
    server.schedule("write", "waiting one")
    server.send(signum)
    log = server.has_ended()
    assert lines_with(log, "'cancelled one' of admin in queue default: cancelled")
    assert lines_with(log, f"{finished!r} of admin in queue default: succeeded")
    assert lines_with(log, "'waiting one' of admin in queue default: lost")
    assert not lines_with(log, "Traceback")
    marks = serve().marks()
    assert finished in marks
    assert "waiting one" not in marks


def test_a_task_that_does_not_stop_is_waited_for_a_while_only(serve):
    """The next server shows that it is lost."""
    server = serve(drain_timeout=1)
    server.begin("hang", "hanging one")
    server.send(signal.SIGTERM)
    log = server.has_ended()
    assert lines_with(log, "'hanging one' of admin in queue default: lost")
    again = serve()
    (lost,) = again.get("++api++/@tasks?state=lost").json()["items"]
    assert (lost["title"], lost["is_spent"]) == ("hanging one", True)
    assert "The server was stopped" in lost["error"]["public"]
    assert "1 lost" in again.get("").text


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


@pytest.mark.parametrize("kind", [Waitress, Gunicorn])
def test_under_another_server_tasks_can_stop_at_the_exit(serve, kind):
    server = serve(kind=kind, drain_timeout=NEVER)
    title = f"finished under {kind.__name__}"
    server.begin("finish", title)
    server.stop(kind.end)
    assert lines_with(server.log, f"{title!r} of admin in queue default: succeeded")
    assert not lines_with(server.log, "Traceback")


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
    task_id = server.schedule("write_log_id", "logged")
    server.expect("'logged' of admin in queue default: succeeded")
    assert f"logged {task_id}" in server.marks()
    pytest.importorskip("plone.observability")
    counted = 'collective_background_transitions_total{scope="instance",'
    expected = f'{counted}queue="default",state="succeeded"}} 1'
    assert expected in server.get("../@@metrics").text.splitlines()


@pytest.mark.parametrize("size", [5, 2_000_000])
def test_new_files_and_objects_that_no_catalog_knows_arrive(serve, size):
    server = serve()
    server.wait(server.get("probe-carry", mark=f"carried-{size}", size=size).text)
    assert f"a.bin {size} /Plone/carried-{size}/plain" in server.marks()


def test_recurring_tasks_begin_with_the_server_and_end_with_it(serve, monkeypatch):
    monkeypatch.setenv("PROBE_HEART", "beats")
    server = serve()
    for _ in range(2):
        server.expect("'heart' of admin in queue default: succeeded")
    server.send(signal.SIGTERM)
    log = server.has_ended()
    assert lines_with(log, "recurring task 'instance_probe.tasks.beat': every 0:00:01")
    assert not lines_with(log, "Traceback")
