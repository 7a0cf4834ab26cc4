"""The log has one line for each transition, and its lines tell the task."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_view
from collective.background import using
from collective.background.interfaces import ITaskEvent
from collective.background.telling import logs
from collective.background.testing import drain
from collective.background.testing import eager
from contextlib import contextmanager
from helpers import finished
from helpers import waiting
from plone.app.testing import logout
from plone.app.testing import TEST_USER_ID
from zope.component import getGlobalSiteManager

import logging
import pytest
import transaction


pytestmark = pytest.mark.usefixtures("functional")

logger = logging.getLogger(__name__)


@pytest.fixture
def lines(caplog):
    """Return a function: the log records of the transitions of a task, in order."""
    caplog.set_level(logging.INFO)

    def lines(task_id):
        drain()
        return [
            record
            for record in caplog.records
            if record.name == "collective.background.logs"
            and task_id in record.getMessage()
        ]

    return lines


def fail():
    raise ValueError("no")


def cancel_itself():
    get_scheduler().cancel(current_task().id)
    current_task().check_cancelled()


def states_and_levels(lines):
    return [(line.background_state, line.levelname) for line in lines]


class TestLines:
    def test_of_a_task_that_succeeds(self, lines):
        task_id = finished(schedule(int)).id
        assert states_and_levels(lines(task_id)) == [
            ("queued", "INFO"),
            ("running", "INFO"),
            ("succeeded", "INFO"),
        ]

    def test_of_one_that_fails(self, lines):
        task_id = finished(schedule(fail)).id
        assert states_and_levels(lines(task_id))[1:] == [
            ("running", "INFO"),
            ("failed", "WARNING"),
        ]

    def test_of_one_that_is_tried_again(self, lines):
        """The error is told with the attempt that it has ended, and not again."""
        task_id = finished(using(retries=1, backoff=0).schedule(fail)).id
        found = lines(task_id)
        assert states_and_levels(found)[1:] == [
            ("running", "INFO"),
            ("retrying", "WARNING"),
            ("running", "INFO"),
            ("failed", "WARNING"),
        ]
        errors = [line.getMessage().endswith("ValueError: no") for line in found[1:]]
        assert errors == [False, True, False, True]

    def test_of_one_that_is_cancelled_while_it_runs(self, lines):
        task_id = finished(schedule(cancel_itself)).id
        assert states_and_levels(lines(task_id))[1:] == [
            ("running", "INFO"),
            ("cancelled", "WARNING"),
        ]

    def test_of_one_that_is_cancelled_before(self, lines):
        with waiting():
            task_id = schedule(int)
            transaction.commit()
            get_scheduler().cancel(task_id)
        found = lines(task_id)
        assert states_and_levels(found)[1:] == [("cancelled", "WARNING")]
        assert ", ran " not in found[-1].getMessage()

    def test_of_one_that_is_lost(self, lines, make_scheduler):
        scheduler = make_scheduler()
        scheduler.pause("default")
        task_id = scheduler.schedule(int)
        transaction.commit()
        scheduler.drain(0)
        assert states_and_levels(lines(task_id))[1:] == [("lost", "WARNING")]

    def test_of_one_that_is_queued_again(self, lines):
        task_id = finished(schedule(fail)).id
        before = len(lines(task_id))
        get_scheduler().retry(task_id)
        assert states_and_levels(lines(task_id))[before:] == [
            ("queued", "INFO"),
            ("running", "INFO"),
            ("failed", "WARNING"),
        ]

    def test_none_of_one_whose_transaction_aborts(self, lines):
        task_id = schedule(int)
        transaction.abort()
        assert lines(task_id) == []

    def test_come_in_spite_of_a_subscriber_that_fails(self, lines):
        def broken(event):
            if event.record.state != "queued":
                raise RuntimeError("a broken subscriber")

        site_manager = getGlobalSiteManager()
        site_manager.registerHandler(broken, (ITaskEvent,))
        try:
            task_id = finished(schedule(int)).id
            assert len(lines(task_id)) == 3
        finally:
            site_manager.unregisterHandler(broken, (ITaskEvent,))


class TestOneLine:
    def test_is_for_people(self, lines):
        record = finished(using(title="Import").schedule(int))
        queued, running, succeeded = (line.getMessage() for line in lines(record.id))
        start = f"task {record.id} 'Import' of {TEST_USER_ID} in queue default:"
        waited = f"waited {record.wait_time:.3f} s"
        assert queued == f"{start} queued"
        assert running == f"{start} running, {waited}"
        assert succeeded == f"{start} succeeded, {waited}, ran {record.run_time:.3f} s"

    def test_is_for_programs(self, lines):
        record = finished(using(title="Import").schedule(fail))
        line = lines(record.id)[-1]
        fields = {k: v for k, v in vars(line).items() if k.startswith("background_")}
        assert fields == {
            "background_task": record.id,
            "background_title": "Import",
            "background_queue": "default",
            "background_user": TEST_USER_ID,
            "background_site": "/plone",
            "background_state": "failed",
            "background_by": None,
            "background_wait": record.wait_time,
            "background_run": record.run_time,
            "background_error": "builtins.ValueError",
            "background_error_id": record.error.id,
        }

    def test_has_no_value_for_what_is_not_known(self, lines):
        queued, running, _ = lines(finished(schedule(int)).id)
        assert (queued.background_wait, queued.background_run) == (None, None)
        assert running.background_wait is not None
        assert running.background_run is None
        assert running.background_error is None

    def test_of_an_anonymous_user(self, lines):
        logout()
        line = lines(finished(schedule(int)).id)[0]
        assert " of anonymous in queue" in line.getMessage()
        assert line.background_user is None

    def test_is_one_line_whatever_title_and_error_are(self, lines):
        def fail():
            raise ValueError("first\nERROR forged\r\n  last")

        record = finished(using(title="Two\nlines").schedule(fail))
        text = lines(record.id)[-1].getMessage()
        assert f": error {record.error.id}: " in text
        assert "'Two lines'" in text
        assert text.endswith("builtins.ValueError: first ERROR forged last")
        assert len(text.splitlines()) == 1

    def test_is_one_line_of_a_view_whatever_its_name_is(self, lines, folder):
        name = "no\nERROR forged" + "x" * 200_000
        task_id = finished(schedule_view(folder, name)).id
        for line in lines(task_id):
            assert len(line.getMessage().splitlines()) == 1
            assert len(line.getMessage()) < 5_000


class TestTracebacks:
    def test_nobody_forges_a_line_with_the_text_of_an_exception(self, caplog, lines):
        def fail():
            raise ValueError("first\nERROR forged\x1b[2J\n" + "x" * 1_000_000)

        task = finished(using(title="Import").schedule(fail))
        (record,) = [r for r in caplog.records if r.exc_info]
        first, *rest = logging.Formatter("%(message)s").format(record).splitlines()
        assert first == f"task {task.id} failed (error {task.error.id}): Import"
        assert all(line.startswith("  ") for line in rest)
        assert "ERROR forged [2J" in "".join(rest)
        assert max(map(len, rest)) < 1000
        assert sum(map(len, rest)) < 50_000


class TestIdOfTheTask:
    """Every log record has it once the factory is installed."""

    @pytest.fixture(autouse=True)
    def factory(self):
        usual = logging.getLogRecordFactory()
        logs.install(None)
        yield
        logging.setLogRecordFactory(usual)

    def logged(self, caplog, message):
        return [r.background_task for r in caplog.records if r.message == message]

    def test_is_that_of_the_task_that_logs(self, caplog):
        ids = [
            finished(schedule(logger.warning, f"from task {n}")).id for n in range(2)
        ]
        for n in range(2):
            assert self.logged(caplog, f"from task {n}") == [ids[n]]

    def test_is_empty_elsewhere(self, caplog):
        finished(schedule(int))
        logger.warning("from elsewhere")
        assert self.logged(caplog, "from elsewhere") == [""]

    def test_is_that_of_the_task_in_the_thread_that_commits_as_well(self, caplog):
        with eager():
            task_id = schedule(logger.warning, "from an eager task")
            transaction.commit()
            logger.warning("from elsewhere")
        assert self.logged(caplog, "from an eager task") == [task_id]
        assert self.logged(caplog, "from elsewhere") == [""]

    def test_is_in_the_lines_of_transitions_from_other_threads(self, lines):
        with waiting():
            task_id = schedule(int)
            transaction.commit()
            get_scheduler().cancel(task_id)
        found = lines(task_id)
        assert [line.background_task for line in found] == [task_id, task_id]

    def test_can_be_used_in_the_format_of_a_log(self, caplog):
        task_id = finished(schedule(logger.warning, "counted")).id
        (record,) = [r for r in caplog.records if r.message == "counted"]
        formatter = logging.Formatter("[%(background_task)s] %(message)s")
        assert formatter.format(record) == f"[{task_id}] counted"


class TestWithoutConfiguration:
    """As in a script: Python shows warnings on its own account, and goes on to."""

    @pytest.fixture
    def no_handlers(self, monkeypatch):
        """Return a context in which logging is as it is without configuration."""

        @contextmanager
        def no_handlers():
            with monkeypatch.context() as patch:
                patch.setattr(logging.getLogger(), "handlers", [])
                yield

        return no_handlers

    def test_warnings_are_shown_in_and_after_a_task(self, no_handlers, capsys):
        with no_handlers():
            finished(schedule(lambda: logger.warning("in a task")))
            logger.warning("after it")
            logger.info("this is no warning")
        assert capsys.readouterr().err.splitlines() == ["in a task", "after it"]

    def test_but_once_if_there_is_a_handler(self, no_handlers, capsys):
        with no_handlers():
            finished(schedule(int))
            logging.getLogger().addHandler(logging.StreamHandler())
            logger.warning("after it")
        assert capsys.readouterr().err.splitlines() == ["after it"]


def test_a_factory_of_somebody_else_is_asked_first(caplog):
    class OtherRecord(logging.LogRecord):
        """What another package makes of log records."""

    usual = logging.getLogRecordFactory()
    logging.setLogRecordFactory(OtherRecord)
    try:
        logs.install(None)
        task_id = finished(schedule(logger.warning, "counted")).id
    finally:
        logging.setLogRecordFactory(usual)
    (record,) = [r for r in caplog.records if r.message == "counted"]
    assert isinstance(record, OtherRecord)
    assert record.background_task == task_id
