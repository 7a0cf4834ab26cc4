"""Signals that end the process: who handles them, and what comes after the tasks.

What they do to tasks of a real server is tested in ``test_instance.py``.
"""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.executing import shutdown
from collective.background.telling.history import History
from collective.background.telling.metrics import Metrics
from dataclasses import replace
from helpers import finished
from helpers import TIMEOUT
from signal import getsignal
from signal import raise_signal
from signal import SIG_DFL
from signal import SIG_IGN
from signal import SIGINT
from signal import signal
from signal import SIGTERM
from threading import Thread

import pytest
import transaction


SIGNALS = (SIGTERM, SIGINT)


@pytest.fixture(autouse=True)
def put_back(monkeypatch):
    """Leave no handler, and nothing that is called at the end of the process."""
    before = {signum: getsignal(signum) for signum in SIGNALS}
    monkeypatch.setattr(shutdown.atexit, "register", lambda function: None)
    monkeypatch.setattr(shutdown, "_handler", shutdown.SignalHandler())
    yield
    for signum, handler in before.items():
        signal(signum, handler)


@pytest.fixture
def order(scheduler, monkeypatch):
    """What has happened, in its order."""
    order = []
    drain = scheduler.drain

    def note(timeout=None):
        order.append(("drain", timeout))
        drain(timeout)

    monkeypatch.setattr(scheduler, "drain", note)
    return order


@pytest.mark.parametrize("signum", SIGNALS)
def test_who_had_the_signal_before_is_called_after_the_tasks(order, signum):
    signal(signum, lambda *args: order.append(("before", args[0])))
    shutdown.install(None)
    raise_signal(signum)
    assert order == [("drain", None), ("before", signum)]


def test_without_anybody_else_the_process_ends_in_order(order):
    """So that the server closes the databases, which the default does not."""
    signal(SIGTERM, SIG_DFL)
    shutdown.install(None)
    with pytest.raises(SystemExit) as info:
        raise_signal(SIGTERM)
    assert info.value.code == 128 + SIGTERM
    assert order == [("drain", None)]


@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_one_ends_the_waiting(make_scheduler, gate, monkeypatch, second):
    ends = []
    signal(SIGTERM, lambda signum, frame: ends.append(signum))
    shutdown.install(None)
    make_scheduler(drain_timeout=10 * TIMEOUT)
    id = schedule(gate.task)
    transaction.commit()
    gate.wait()
    monkeypatch.setattr(shutdown, "_before_drain", [lambda: raise_signal(second)])
    raise_signal(SIGTERM)
    assert get_scheduler().record(id).state == "lost"
    assert ends == [SIGTERM]


@pytest.mark.parametrize("signum", SIGNALS)
def test_one_that_is_ignored_stays_ignored(order, signum):
    """As that of a process in the background of a shell."""
    signal(signum, SIG_IGN)
    shutdown.install(None)
    assert getsignal(signum) is SIG_IGN


def test_they_are_left_alone_in_any_other_thread_than_the_main_one(order):
    before = [getsignal(signum) for signum in SIGNALS]
    errors = []

    def install():
        try:
            shutdown.install(None)
        except ValueError as error:
            errors.append(error)

    thread = Thread(target=install)
    thread.start()
    thread.join()
    assert errors == []
    assert [getsignal(signum) for signum in SIGNALS] == before


class Interrupting(str):
    """A name during whose use a signal comes."""

    def __hash__(self):
        raise_signal(SIGTERM)
        return super().__hash__()


@pytest.mark.parametrize(
    ("counter", "name"), [(Metrics, "queue"), (History, "site_path")]
)
def test_one_that_comes_while_a_task_is_counted_counts_tasks_as_well(
    order, counter, name
):
    """As in a script, whose main thread schedules: tasks are lost at its end."""
    counter = counter()
    record = finished(schedule(int))
    signal(SIGTERM, lambda *args: order.append(counter.add(record)))
    counter.add(replace(record, **{name: Interrupting("here")}))
    assert order


def test_they_are_left_alone_if_the_setting_says_so(order, monkeypatch):
    monkeypatch.setenv("BACKGROUND_HANDLE_SIGNALS", "off")
    before = [getsignal(signum) for signum in SIGNALS]
    shutdown.install(None)
    assert [getsignal(signum) for signum in SIGNALS] == before
