"""Signals that end the process: who handles them, and what comes after the tasks.

What they do to tasks of a real server is tested in ``test_instance.py``, and to
scripts in ``test_who_serves.py``.
"""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.executing import shutdown
from collective.background.executing.executor import process_executor
from collective.background.executing.serving import SERVER
from collective.background.executing.shutdown import SignalHandler
from collective.background.telling.history import History
from collective.background.telling.metrics import Metrics
from dataclasses import replace
from helpers import finished
from helpers import TIMEOUT
from logging import getLogger
from logging import Handler
from signal import default_int_handler
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
def put_back():
    """Leave no handler. A shell lets what runs in its background ignore SIGINT."""
    before = {signum: getsignal(signum) for signum in SIGNALS}
    signal(SIGINT, default_int_handler)
    yield
    for signum, handler in before.items():
        signal(signum, handler)


@pytest.fixture
def order(scheduler):
    """What has happened, in its order."""
    order = []
    scheduler.executor.before_drain(lambda: order.append("drain"))
    return order


@pytest.fixture
def handle(scheduler):
    """Return a function that lets the executor of the scheduler handle a signal."""
    return lambda signum: SignalHandler(scheduler.executor).install(signum)


def install_under_server():
    """Do what is done when Zope has started, where Zope's own server has started it."""
    source = "shutdown.install(None)"
    exec(compile(source, SERVER, "exec"), {"shutdown": shutdown})


def handlers():
    return [getsignal(signum) for signum in SIGNALS]


class TestHandler:
    @pytest.mark.parametrize("signum", SIGNALS)
    def test_who_had_the_signal_before_is_called_after_the_tasks(
        self, handle, order, signum
    ):
        signal(signum, lambda *args: order.append(("before", args[0])))
        handle(signum)
        raise_signal(signum)
        assert order == ["drain", ("before", signum)]

    def test_without_anybody_else_the_process_ends_in_order(self, handle, order):
        """So that the server closes the databases, which the default does not."""
        signal(SIGTERM, SIG_DFL)
        handle(SIGTERM)
        with pytest.raises(SystemExit) as info:
            raise_signal(SIGTERM)
        assert info.value.code == 128 + SIGTERM
        assert order == ["drain"]

    @pytest.mark.parametrize("second", SIGNALS)
    def test_a_second_one_ends_the_waiting(self, make_scheduler, gate, second):
        ends = []
        scheduler = make_scheduler(drain_timeout=10 * TIMEOUT)
        for signum in SIGNALS:
            signal(signum, lambda signum, frame: ends.append(signum))
            SignalHandler(scheduler.executor).install(signum)
        id = schedule(gate.task)
        transaction.commit()
        gate.wait()
        scheduler.executor.before_drain(lambda: raise_signal(second))
        raise_signal(SIGTERM)
        assert get_scheduler().record(id).state == "lost"
        assert ends == [SIGTERM]

    def test_so_does_one_that_comes_before_the_waiting_has_begun(
        self, make_scheduler, gate, caplog
    ):
        """Here, while the log is told of the first one."""

        class Sender(Handler):
            def emit(self, record):
                if "waiting for running tasks" in record.getMessage():
                    raise_signal(SIGTERM)

        ends = []
        signal(SIGTERM, lambda signum, frame: ends.append(signum))
        scheduler = make_scheduler(drain_timeout=10 * TIMEOUT)
        SignalHandler(scheduler.executor).install(SIGTERM)
        id = schedule(gate.task)
        transaction.commit()
        gate.wait()
        logger = getLogger(shutdown.__name__)
        logger.addHandler(sender := Sender())
        caplog.set_level("INFO", shutdown.__name__)
        try:
            raise_signal(SIGTERM)
        finally:
            logger.removeHandler(sender)
        assert scheduler.record(id).state == "lost"
        assert ends == [SIGTERM]

    def test_one_that_comes_when_the_tasks_have_ended_goes_on_to_who_had_it(
        self, handle, order
    ):
        """The server may take its time to end, too."""
        signal(SIGTERM, lambda *args: order.append("before"))
        handle(SIGTERM)
        raise_signal(SIGTERM)
        raise_signal(SIGTERM)
        assert order == ["drain", "before", "before"]

    @pytest.mark.parametrize("signum", SIGNALS)
    def test_one_that_is_ignored_stays_ignored(self, handle, order, signum, caplog):
        """As that of a process in the background of a shell; the log says so."""
        caplog.set_level("INFO")
        signal(signum, SIG_IGN)
        handle(signum)
        assert getsignal(signum) is SIG_IGN
        assert f"{signum.name} is ignored" in caplog.text


class TestInstalling:
    def test_zopes_server_has_them_handled(self):
        install_under_server()
        assert all(isinstance(handler, SignalHandler) for handler in handlers())

    def test_under_another_server_or_in_a_script_they_are_left_alone(self):
        before = handlers()
        shutdown.install(None)
        assert handlers() == before

    def test_they_are_left_alone_in_any_other_thread_than_the_main_one(self):
        before = handlers()
        errors = []

        def install():
            try:
                install_under_server()
            except ValueError as error:
                errors.append(error)

        thread = Thread(target=install)
        thread.start()
        thread.join()
        assert errors == []
        assert handlers() == before

    def test_they_are_left_alone_if_the_setting_says_so(self, monkeypatch):
        executor = process_executor()
        off = replace(executor.settings, handle_signals=False)
        monkeypatch.setattr(executor, "settings", off)
        before = handlers()
        install_under_server()
        assert handlers() == before


class Interrupting(str):
    """A name during whose use a signal comes."""

    def __hash__(self):
        raise_signal(SIGTERM)
        return super().__hash__()


@pytest.mark.parametrize(
    ("counter", "name"), [(Metrics, "queue"), (History, "site_path")]
)
def test_one_that_comes_while_a_task_is_counted_counts_tasks_as_well(
    scheduler, counter, name
):
    """As in a script, whose main thread schedules: tasks are lost at its end."""
    counter = counter()
    record = finished(schedule(int))
    counted = []
    signal(SIGTERM, lambda *args: counted.append(counter.add(record)))
    counter.add(replace(record, **{name: Interrupting("here")}))
    assert counted
