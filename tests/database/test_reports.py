"""What running tasks tell, and how much of it is written."""

from another import until
from collections import deque
from collective.background import current_task
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database.reports import Report
from collective.background.model.records import Progress
from collective.background.model.records import TaskMessage
from collective.background.scheduling.task import LOG_LINES
from dataclasses import replace
from fractions import Fraction
from gated_tasks import gated
from helpers import finished
from helpers import TIMEOUT
from lxml import etree
from types import SimpleNamespace
from ZODB.utils import get_pickle_metadata
from ZODB.utils import p64
from ZODB.utils import u64

import logging
import pytest
import transaction


ODD = "\udcff\nb"  # the name of a file, perhaps


@pytest.fixture
def task():
    """What is reported of a Task: it has told nothing."""
    return SimpleNamespace(
        options=SimpleNamespace(title="Title"),
        progress=Progress(),
        messages=(),
        log=deque(maxlen=LOG_LINES),
        lines=0,
    )


def log(task, *lines):
    task.log.extend(lines)
    task.lines += len(lines)


def written(database, function):
    """Return what is written while a function is called: [(class, bytes)]."""
    before = database.lastTransaction()
    function()
    start = p64(u64(before) + 1)
    return [
        (get_pickle_metadata(record.data)[1], len(record.data))
        for transaction_ in database.storage.iterator(start)
        for record in transaction_
    ]


class TestReport:
    def test_says_what_the_task_has_told(self, task):
        report = Report()
        log(task, "one", "two")
        task.progress = Progress(done=1, total=2, message="half")
        task.messages = (TaskMessage(text="Hello"),)
        report.tell(task, None)
        assert report.values() == {
            "title": "Title",
            "progress": task.progress,
            "messages": task.messages,
            "log": ("one", "two"),
        }

    @pytest.mark.parametrize("steps", [1, 7, 50, 300])
    def test_keeps_the_last_lines(self, task, steps):
        """Whatever the number of lines between two reports."""
        report, told = Report(), None
        lines = [f"line {number}" for number in range(LOG_LINES + 150)]
        for start in range(0, len(lines), steps):
            log(task, *lines[start : start + steps])
            told = report.tell(task, told)
        assert report.values()["log"] == tuple(lines[-LOG_LINES:])

    def test_writes_only_what_is_new(self, bare, task):
        report = bare.connection.root()["report"] = Report()
        log(task, *["x" * 900] * LOG_LINES)
        told = report.tell(task, None)
        bare.manager.commit()

        def tell():
            bare.manager.begin()
            report.tell(task, told)
            bare.manager.commit()

        assert written(bare.database, tell) == []
        log(task, "one more")
        sizes = dict(written(bare.database, tell))
        assert set(sizes) == {"Report", "Lines"}
        assert sum(sizes.values()) < 3000

    def test_writes_no_log_for_progress(self, bare, task):
        report = bare.connection.root()["report"] = Report()
        log(task, *["x" * 900] * LOG_LINES)
        told = report.tell(task, None)
        bare.manager.commit()
        task.progress = replace(task.progress, done=1)

        def tell():
            report.tell(task, told)
            bare.manager.commit()

        assert [name for name, _ in written(bare.database, tell)] == ["Report"]


class TestTasks:
    def test_a_small_one_writes_little(self, scheduler):
        """Its own object twice, its status twice, and some entries in trees."""
        database = scheduler._p_jar.db()
        finished(schedule(len, "x"))
        found = written(database, lambda: finished(schedule(len, "x")))
        names = [name for name, _ in found]
        assert names.count("StoredTask") == 3  # scheduled, reserved, settled
        assert names.count("Status") == 3  # scheduled, begun, done
        assert names.count("Body") == 1
        assert sum(size for name, size in found if not name.startswith("OO")) < 12_000

    def test_a_batch_writes_each_failure_once(self, scheduler):
        """And once more in its result; but not at each of its transactions."""
        database = scheduler._p_jar.db()

        def run():
            items = [number if number % 2 else "even" for number in range(40)]
            finished(schedule_batch(fail_if_even, items, size=4))

        found = written(database, run)
        sizes = [size for name, size in found if name == "Failures"]
        assert len(sizes) == 10
        assert max(sizes) < 1.5 * min(sizes)
        assert max(size for name, size in found if name == "Status") < 600


def fail_if_even(item):
    if item == "even":
        raise ValueError("x" * 500)


def test_a_heartbeat_writes_one_small_object(short_lease, scheduler):
    """One for all sites; and it says what it is, for who looks at the undo log."""
    database = scheduler._p_jar.db()

    def beats():
        return [
            [len(record.data) for record in each]
            for each in database.storage.iterator()
            if b"is alive" in each.description
        ]

    until(lambda: len(beats()) > 2)
    _, *sizes = beats()  # with the first one it becomes known
    assert {len(each) for each in sizes} == {1}
    assert max(map(max, sizes)) < 300


class Metres(float):
    """A number of an add-on."""


def test_numbers_are_stored_as_those_of_python(scheduler, gates):
    """No class of an add-on is needed to show how far a task is."""
    task_id = schedule(measure)
    transaction.commit()
    gates.wait()
    until(lambda: scheduler.record(task_id).progress.done)
    progress = scheduler.record(task_id).progress
    assert (progress.done, progress.total) == (3.0, 4.5)
    assert (type(progress.done), type(progress.total)) == (float, float)
    gates.opened.set()
    assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"


def measure():
    current_task().progress(Metres(3), Fraction(9, 2))
    gated()


def test_texts_are_stored_as_those_of_python(scheduler, folder):
    """Whatever they are, the work is committed, and lists can be shown."""
    record = finished(using(title=ODD).schedule(tell, folder))
    assert (record.state, record.title) == ("succeeded", "\\udcff b")
    assert (record.progress.message, record.messages[0].text) == ("b", "\\udcff\nb")
    assert record.log == ("WARNING an.add-on \\udcff b",)
    for text in (record.title, record.progress.message, *record.log):
        assert type(text) is str
    assert folder.title == "done"


def tell(folder):
    folder.title = "done"
    current_task().progress(1, 2, etree.XML("<a>b</a>").xpath("string()"))
    current_task().message(ODD)
    logging.getLogger("an.add-on").warning(ODD)
