"""Metrics count every transition, and are told as plain values."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.executing.executor import Executor
from collective.background.interfaces import IMetrics
from collective.background.interfaces import IProcessQueues
from collective.background.interfaces import ITaskEvent
from collective.background.model.config import Settings
from collective.background.model.records import TaskRecord
from collective.background.telling.metrics import BUCKETS
from collective.background.telling.metrics import Metrics
from collective.background.testing import drain
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from itertools import groupby
from math import inf
from plone.testing.zope import Browser
from threading import Event
from zope.component import getGlobalSiteManager
from zope.component import getUtility
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig

import pytest
import re
import transaction


pytestmark = pytest.mark.usefixtures("functional")

CREATED = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def metrics(functional, provide):
    """Metrics that have counted nothing yet, for the time of the test."""
    return provide(Metrics(), IMetrics)


@pytest.fixture
def two_queues(functional, provide):
    """The process has a queue "imports" with three slots."""
    executor = Executor(Settings(queues={"imports": 3}))
    provide(executor.queues, IProcessQueues)


def fail():
    raise ValueError("no")


def cancel_itself():
    get_scheduler().cancel(current_task().id)
    current_task().check_cancelled()


def make_record(state="succeeded", queue="default", wait=0.0, run=0.0):
    """Return the record of a task that has waited and run so many seconds."""
    started = CREATED + timedelta(seconds=wait)
    is_running = state == "running"
    return TaskRecord(
        id="0" * 32,
        title="Task",
        state=state,
        kind="call",
        callable="builtins.int",
        queue=queue,
        priority=0,
        user_id=None,
        user_path=None,
        site_path=None,
        context_path=None,
        context_uid=None,
        created=CREATED,
        started=started,
        finished=None if is_running else started + timedelta(seconds=run),
        attempts=1,
    )


def transitions(metrics):
    """Return what was counted in the usual queue, without what was not."""
    counts = metrics.snapshot()["default"]["transitions"]
    return {state: count for state, count in counts.items() if count}


class TestTransitions:
    def test_of_a_task_that_succeeds(self, metrics):
        finished(schedule(int))
        drain()
        assert transitions(metrics) == {"queued": 1, "running": 1, "succeeded": 1}

    def test_of_one_that_fails(self, metrics):
        finished(schedule(fail))
        drain()
        assert transitions(metrics) == {"queued": 1, "running": 1, "failed": 1}

    def test_of_one_that_is_cancelled_while_it_runs(self, metrics):
        finished(schedule(cancel_itself))
        drain()
        assert transitions(metrics) == {"queued": 1, "running": 1, "cancelled": 1}

    def test_of_one_that_is_cancelled_before(self, metrics):
        with waiting():
            task_id = schedule(int)
            transaction.commit()
            get_scheduler().cancel(task_id)
        assert transitions(metrics) == {"queued": 1, "cancelled": 1}

    def test_of_one_that_is_tried_again(self, metrics):
        finished(using(retries=1, backoff=0).schedule(fail))
        drain()
        expected = {"queued": 1, "running": 2, "retrying": 1, "failed": 1}
        assert transitions(metrics) == expected
        assert metrics.snapshot()["default"]["wait"]["count"] == 1

    def test_of_one_that_is_queued_again(self, metrics):
        task_id = finished(schedule(fail)).id
        drain()
        get_scheduler().retry(task_id)
        drain()
        assert transitions(metrics) == {"queued": 2, "running": 2, "failed": 2}

    def test_of_one_that_is_lost(self, metrics, make_scheduler):
        scheduler = make_scheduler()
        scheduler.pause("default")
        scheduler.schedule(int)
        transaction.commit()
        scheduler.drain(0)
        assert transitions(metrics) == {"queued": 1, "lost": 1}

    def test_of_one_that_was_done_at_once(self, metrics):
        schedule_batch(int, ["1"], inline_below=2)
        assert transitions(metrics) == {}
        transaction.commit()
        assert transitions(metrics) == {"succeeded": 1}

    def test_none_of_one_whose_transaction_aborts(self, metrics):
        schedule(int)
        transaction.abort()
        assert transitions(metrics) == {}

    def test_none_of_one_whose_savepoint_is_rolled_back(self, metrics):
        savepoint = transaction.savepoint()
        schedule(int)
        savepoint.rollback()
        finished(schedule(int))
        drain()
        assert transitions(metrics) == {"queued": 1, "running": 1, "succeeded": 1}

    def test_are_counted_in_spite_of_a_subscriber_that_fails(self, metrics):
        def broken(event):
            if event.record.state != "queued":
                raise RuntimeError("a broken subscriber")

        site_manager = getGlobalSiteManager()
        site_manager.registerHandler(broken, (ITaskEvent,))
        try:
            finished(schedule(int))
            drain()
        finally:
            site_manager.unregisterHandler(broken, (ITaskEvent,))
        assert transitions(metrics) == {"queued": 1, "running": 1, "succeeded": 1}

    def test_those_of_many_threads_are_all_counted(self, metrics):
        record = make_record(wait=1, run=2)
        with ThreadPoolExecutor(8) as threads:
            for _ in range(8):
                threads.submit(lambda: [metrics.add(record) for _ in range(1000)])
        queue = metrics.snapshot()["default"]
        assert queue["transitions"]["succeeded"] == 8000
        assert (queue["run"]["count"], queue["run"]["sum"]) == (8000, 16000)


class TestTimes:
    def test_are_those_of_the_record(self, metrics):
        record = finished(schedule(int))
        drain()
        queue = metrics.snapshot()["default"]
        assert (queue["wait"]["count"], queue["wait"]["sum"]) == (1, record.wait_time)
        assert (queue["run"]["count"], queue["run"]["sum"]) == (1, record.run_time)

    def test_a_retry_does_not_count_as_waiting(self, metrics):
        """Its record tells only when the task was scheduled first."""
        task_id = finished(schedule(fail)).id
        drain()
        get_scheduler().retry(task_id)
        drain()
        queue = metrics.snapshot()["default"]
        assert (queue["wait"]["count"], queue["run"]["count"]) == (1, 2)

    def test_one_that_never_began_has_none(self, metrics):
        with waiting():
            task_id = schedule(int)
            transaction.commit()
            get_scheduler().cancel(task_id)
        queue = metrics.snapshot()["default"]
        assert (queue["wait"]["count"], queue["run"]["count"]) == (0, 0)

    @pytest.mark.parametrize("bound", BUCKETS)
    def test_a_bucket_holds_what_took_at_most_so_long(self, metrics, bound):
        metrics.add(make_record("running", wait=bound))
        metrics.add(make_record(run=bound))
        queue = metrics.snapshot()["default"]
        expected = {b: int(b >= bound) for b in (*BUCKETS, inf)}
        assert queue["wait"]["buckets"] == expected
        assert queue["run"]["buckets"] == expected

    def test_the_last_bucket_has_no_end(self, metrics):
        metrics.add(make_record(run=BUCKETS[-1] + 1))
        buckets = metrics.snapshot()["default"]["run"]["buckets"]
        assert {b: n for b, n in buckets.items() if n} == {inf: 1}

    def test_are_never_negative(self, metrics):
        """Clocks may be set back."""
        metrics.add(make_record("running", wait=-5))
        metrics.add(make_record(run=-5))
        queue = metrics.snapshot()["default"]
        assert (queue["wait"]["sum"], queue["run"]["sum"]) == (0, 0)


class TestGauges:
    def test_tell_how_the_queue_is_now(self, metrics):
        begun, end = Event(), Event()

        def wait():
            begun.set()
            assert end.wait(TIMEOUT)

        schedule(wait)
        transaction.commit()
        try:
            assert begun.wait(TIMEOUT)
            with waiting():
                schedule(int)
                transaction.commit()
                queue = metrics.snapshot()["default"]
        finally:
            end.set()
        names = ("slots", "running", "waiting", "paused")
        assert [queue[name] for name in names] == [2, 1, 1, True]
        drain()
        queue = metrics.snapshot()["default"]
        assert [queue[name] for name in names] == [2, 0, 0, False]


class TestQueues:
    def test_are_counted_apart(self, metrics, two_queues):
        metrics.add(make_record(queue="imports", run=7))
        snapshot = metrics.snapshot()
        assert list(snapshot) == ["default", "mail", "imports"]
        assert snapshot["imports"]["slots"] == 3
        assert snapshot["imports"]["run"]["sum"] == 7
        assert snapshot["default"]["run"]["sum"] == 0

    def test_all_states_are_there_before_anything_has_happened(
        self, metrics, two_queues
    ):
        """So that a rate can be computed from the first task on."""
        counts = metrics.snapshot()["imports"]["transitions"]
        assert set(counts.values()) == {0}
        assert set(counts) >= {"queued", "running", "succeeded", "failed", "lost"}


def test_a_snapshot_does_not_change(metrics):
    metrics.add(make_record(run=1))
    before = metrics.snapshot()["default"]
    metrics.add(make_record(run=1))
    assert before["transitions"]["succeeded"] == 1
    assert before["run"]["count"] == before["run"]["buckets"][inf] == 1


def test_there_is_a_utility(functional):
    assert isinstance(getUtility(IMetrics), Metrics)


class TestPloneObservability:
    """Its view has the metrics of tasks among the others."""

    @pytest.fixture
    def lines(self, metrics, functional):
        """Return a function that reads the view: lines about tasks, in order."""
        observability = pytest.importorskip("plone.observability")
        with in_site(None):
            xmlconfig.file(
                "configure.zcml",
                observability,
                context=functional["configurationContext"],
            )

        def lines():
            browser = Browser(functional["app"])
            browser.open("http://nohost/@@metrics")
            return [
                line
                for line in browser.contents.splitlines()
                if line.removeprefix("# HELP ")
                .removeprefix("# TYPE ")
                .startswith("collective_background_")
            ]

        return lines

    def test_counts_transitions(self, lines):
        finished(schedule(int))
        finished(schedule(fail))
        drain()
        name = "collective_background_transitions_total"
        labels = 'scope="instance",queue="default"'
        found = lines()
        assert f"# TYPE {name} counter" in found
        assert f'{name}{{{labels},state="running"}} 2' in found
        assert f'{name}{{{labels},state="succeeded"}} 1' in found
        assert f'{name}{{{labels},state="failed"}} 1' in found
        assert f'{name}{{{labels},state="lost"}} 0' in found

    def test_has_the_times_as_histograms(self, lines, metrics):
        metrics.add(make_record("running", wait=0.2))
        metrics.add(make_record(run=45.5))
        wait, run = (f"collective_background_{key}_seconds" for key in ("wait", "run"))
        labels = 'scope="instance",queue="default"'
        found = lines()
        assert f'{wait}_bucket{{{labels},le="0.1"}} 0' in found
        assert f'{wait}_bucket{{{labels},le="0.25"}} 1' in found
        assert f'{run}_bucket{{{labels},le="30.0"}} 0' in found
        assert f'{run}_bucket{{{labels},le="60.0"}} 1' in found
        assert f'{run}_bucket{{{labels},le="+Inf"}} 1' in found
        assert f"{run}_sum{{{labels}}} 45.5" in found
        assert f"{run}_count{{{labels}}} 1" in found

    def test_has_gauges(self, lines):
        with waiting():
            schedule(int)
            transaction.commit()
            found = lines()
        labels = 'scope="instance",queue="default"'
        assert f"collective_background_waiting{{{labels}}} 1" in found
        assert f"collective_background_running{{{labels}}} 0" in found
        assert f"collective_background_slots{{{labels}}} 2" in found
        assert f"collective_background_paused{{{labels}}} 1" in found
        assert f"collective_background_sent{{{labels}}} 0" in found
        assert f"collective_background_cut_off{{{labels}}} 0" in found

    def test_lines_of_a_metric_stand_together(self, lines, two_queues):
        """The format asks for it."""
        names = [re.match(r"\w+", line)[0] for line in lines() if line[0] != "#"]
        groups = [name for name, _ in groupby(names)]
        assert len(groups) == len(set(groups)) == 13
        assert names.count("collective_background_slots") == 3
