"""What the instances of a site do for one another, and what becomes of old tasks."""

from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database import workers
from collective.background.database.installing import install
from collective.background.database.installing import uninstall
from collective.background.database.instances import Instance
from collective.background.database.instances import Report
from collective.background.database.workers import local_scheduler
from collective.background.exceptions import BadOption
from collective.background.exceptions import QueueFull
from collective.background.exceptions import ShuttingDown
from collective.background.exceptions import TasksUnfinished
from collective.background.executing.executor import process_executor
from collective.background.model.records import Progress
from collective.background.model.records import TaskMessage
from gated_tasks import create
from gated_tasks import gated
from gated_tasks import gated_until_cancelled
from helpers import finished
from helpers import TIMEOUT
from plone import api
from plone.app.testing import applyProfile
from plone.app.testing import login
from plone.app.testing import SITE_OWNER_NAME
from zope.component.hooks import setSite

import pytest
import transaction


OTHER = "another-host:1:abcd"


@pytest.fixture
def of_a_dead_instance(settings, persistent_site):
    """Return a function that lets an instance claim a task and never be heard again."""

    def claim(make, report=None, **changes):
        settings(lease=1.0)
        scheduler = get_scheduler()
        # Nobody else is there yet.
        task_id = make()
        stored = scheduler.shards.find(task_id)
        scheduler.instances_by_id[OTHER] = other = Instance(OTHER, {"default": 1})
        if report is not None:
            other.tell({task_id: report})
        stored.claim(OTHER)
        for name, value in changes.items():
            setattr(stored, name, value)
        scheduler.shards.move(stored)
        transaction.commit()
        transaction.begin()
        return task_id

    return claim


def until(condition):
    """Wait for what the worker does at its next look."""
    scheduler = get_scheduler()

    def look(mine):
        return condition(mine), None

    assert scheduler._wait_for(look, TIMEOUT)[1]
    transaction.begin()


class TestRescue:
    def test_what_a_dead_instance_ran_is_lost(self, of_a_dead_instance, folder):
        task_id = of_a_dead_instance(lambda: schedule(create, folder, "new"))
        scheduler = get_scheduler()
        record = scheduler.wait(task_id, TIMEOUT)
        assert record.state == "lost"
        assert OTHER in record.error.message
        until(lambda mine: OTHER not in mine.instances_by_id)
        assert "new" not in folder
        assert scheduler.retry(task_id).state == "queued"
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_what_it_has_told_last_is_kept(self, of_a_dead_instance, folder):
        report = Report(
            title="Nearly done",
            progress=Progress(done=8, total=9),
            messages=(TaskMessage(text="eight"),),
            log=("seven", "eight"),
        )
        task_id = of_a_dead_instance(
            lambda: schedule(create, folder, "new"), report=report
        )
        record = get_scheduler().wait(task_id, TIMEOUT)
        assert record.state == "lost"
        told = record.title, record.progress, record.messages, record.log
        assert told == (report.title, report.progress, report.messages, report.log)

    def test_of_a_batch_is_known_what_was_committed(self, of_a_dead_instance):
        report = Report(
            title="Begun", progress=Progress(done=0, total=2), messages=(), log=()
        )
        task_id = of_a_dead_instance(
            lambda: schedule_batch(len, ["a", "b"]), report=report, cursor=1
        )
        record = get_scheduler().wait(task_id, TIMEOUT)
        assert (record.progress.done, record.progress.total) == (1, 2)

    def test_or_run_again_if_it_may_be(self, of_a_dead_instance, folder):
        task_id = of_a_dead_instance(
            lambda: using(rerun=True).schedule(create, folder, "new")
        )
        record = get_scheduler().wait(task_id, TIMEOUT)
        assert (record.state, record.attempts) == ("succeeded", 2)
        transaction.begin()
        assert "new" in folder

    def test_a_batch_of_which_all_is_done_only_says_so(self, of_a_dead_instance):
        task_id = of_a_dead_instance(lambda: schedule_batch(len, ["a", "b"]), cursor=2)
        scheduler = get_scheduler()
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
        transaction.begin()
        assert scheduler.get_result(task_id)[0].done == 2

    def test_who_is_heard_of_keeps_its_tasks(self, settings, scheduler, folder):
        settings(lease=1.0)
        task_id = schedule(create, folder, "new")
        stored = scheduler.shards.find(task_id)
        scheduler.instances_by_id[OTHER] = Instance(OTHER, {"default": 1})
        stored.claim(OTHER)
        scheduler.shards.move(stored)
        transaction.commit()
        for beat in range(1, 16):
            transaction.begin()
            scheduler.instances_by_id[OTHER].beat = beat
            transaction.commit()
            until(lambda mine: mine.record(task_id).state == "running")
            pause = scheduler._wait_for(lambda mine: (False, None), 0.1)
            assert pause == (None, False)
        assert scheduler.record(task_id).instance == OTHER

    def test_who_has_lost_a_task_cannot_commit_its_work(self, scheduler, folder, gates):
        task_id = schedule(create_when_open, folder)
        transaction.commit()
        gates.wait()
        transaction.begin()
        # Another instance takes over, as if this one had been silent.
        stored = scheduler.shards.find(task_id)
        stored.fence += 1
        stored.instance = OTHER
        transaction.commit()
        gates.opened.set()
        until(lambda mine: not workers.worker_of(scheduler).running)
        assert "new" not in folder
        assert scheduler.record(task_id).state == "running"


def create_when_open(folder):
    gated()
    create(folder, "new")


class TestDrain:
    def test_a_task_that_stops_is_left_to_others(self, scheduler, gates):
        task_id = schedule(gated_until_cancelled)
        transaction.commit()
        gates.wait()
        scheduler.drain(TIMEOUT)
        transaction.begin()
        record = scheduler.record(task_id)
        assert (record.state, record.error, record.instance) == ("queued", None, "")
        assert [id for id in scheduler.instances_by_id if id] == []

    @pytest.mark.parametrize("rerun, state", [(True, "queued"), (False, "lost")])
    def test_one_that_does_not_stop(self, scheduler, gates, rerun, state):
        task_id = using(rerun=rerun).schedule(gated)
        transaction.commit()
        gates.wait()
        scheduler.drain(0)
        transaction.begin()
        assert scheduler.record(task_id).state == state
        gates.opened.set()

    def test_no_more_tasks_are_taken(self, scheduler):
        scheduler.drain(0)
        schedule(len, "x")
        with pytest.raises(ShuttingDown):
            transaction.commit()

    def test_what_waits_goes_on_in_another_process(self, scheduler, folder):
        scheduler.pause("default")
        task_id = schedule(create, folder, "new")
        transaction.commit()
        scheduler.drain(0)
        workers.stop_workers()
        transaction.begin()
        scheduler.resume("default")
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"


class TestRoles:
    @pytest.mark.parametrize("role", ["all", "web"])
    def test_no_more_tasks_wait_than_may(self, settings, scheduler, role):
        """Those that wait for another one count as well."""
        settings(role=role, max_waiting=3)
        scheduler.pause("default")
        first = schedule(len, "x")
        for _ in range(2):
            using(after=first).schedule(len, "x")
        transaction.commit()
        until(lambda mine: workers.worker_of(scheduler)._seen_waiting == 3)
        schedule(len, "x")
        with pytest.raises(QueueFull, match="'max_waiting' allows no more"):
            transaction.commit()

    def test_nor_does_one_transaction_schedule_more(self, settings, scheduler):
        settings(max_waiting=3)
        for _ in range(4):
            schedule(len, "x")
        with pytest.raises(QueueFull):
            transaction.commit()

    def test_a_web_instance_runs_nothing(self, settings, scheduler, folder):
        settings(role="web")
        task_id = schedule(create, folder, "new")
        transaction.commit()
        transaction.begin()
        scheduler._wait_for(lambda mine: (False, None), 0.5)
        assert scheduler.record(task_id).state == "queued"
        assert [id for id in scheduler.instances_by_id if id] == []
        assert scheduler.cancel(task_id).state == "cancelled"


class TestRetention:
    def test_what_is_too_old_is_forgotten(self, scheduler, persistent_site):
        api.portal.set_registry_record("collective.background.keep", 1)
        old = finished(schedule(len, "x")).id
        stored = scheduler.shards.find(old)
        scheduler.shards.no_longer_expiring(stored)
        stored.keep = -1.0
        scheduler.shards.move(stored)
        transaction.commit()
        young = finished(schedule(len, "x")).id
        workers.stop_workers()  # the next worker looks for it at once
        workers.worker_of(scheduler)
        until(lambda mine: mine.record(old) is None)
        assert scheduler.record(young) is not None

    def test_of_too_many_the_oldest_go(self, settings, scheduler):
        ids = [finished(schedule(len, "x")).id for _ in range(4)]
        workers.stop_workers()
        settings(keep_count=2)
        workers.worker_of(scheduler)
        until(lambda mine: mine.count() == 2)
        assert [record.id for record in scheduler.records()] == ids[:1:-1]

    def test_a_group_goes_with_its_last_task(self, scheduler):
        with group() as whole:
            task_id = schedule(len, "x")
        finished(task_id)
        assert scheduler.record(whole.id) is not None
        scheduler.remove(task_id)
        transaction.begin()
        assert scheduler.record(whole.id) is None


class TestCopies:
    def test_a_copied_site_does_not_run_the_tasks_of_the_original(
        self, scheduler, persistent_site, folder
    ):
        scheduler.pause("default")
        task_id = schedule(create, folder, "new")
        transaction.commit()
        app = persistent_site.aq_parent
        login(app, SITE_OWNER_NAME)
        app.manage_pasteObjects(app.manage_copyObjects(["plone"]))
        transaction.commit()
        copy = app["copy_of_plone"]
        copied = local_scheduler(copy)
        assert copied._p_oid != scheduler._p_oid
        setSite(copy)
        copied.resume("default")
        record = copied.wait(task_id, TIMEOUT)
        assert record.state == "cancelled"
        assert "copied" in record.error.message
        setSite(persistent_site)
        scheduler.resume("default")
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
        transaction.begin()
        assert "new" in folder
        assert "new" not in copy["folder"]

    def test_a_renamed_site_does_not_run_them_either(
        self, scheduler, persistent_site, folder
    ):
        scheduler.pause("default")
        task_id = schedule(create, folder, "new")
        transaction.commit()
        app = persistent_site.aq_parent
        login(app, SITE_OWNER_NAME)
        app.manage_renameObject("plone", "renamed")
        transaction.commit()
        setSite(app["renamed"])
        renamed = get_scheduler()
        renamed.resume("default")
        record = renamed.wait(task_id, TIMEOUT)
        assert record.state == "failed"
        assert record.error.type.endswith("SiteGone")
        app.manage_renameObject("renamed", "plone")
        transaction.commit()
        setSite(app["plone"])


class TestSwitching:
    def test_the_profile(self, site):
        before = get_scheduler()
        applyProfile(site, "collective.background:persistent")
        installed = get_scheduler()
        assert installed is local_scheduler(site) is not before
        applyProfile(site, "collective.background:persistent")
        assert get_scheduler() is installed
        applyProfile(site, "collective.background:persistent-uninstall")
        assert get_scheduler() is before

    def test_a_task_that_is_scheduled_in_the_same_transaction(self, site, folder):
        install(site)
        assert finished(schedule(create, folder, "new")).state == "succeeded"
        workers.stop_workers()

    def test_what_waits_in_memory_runs_there(self, site, folder):
        memory = get_scheduler()
        memory.pause("default")
        task_id = schedule(create, folder, "new")
        transaction.commit()
        install(site)
        transaction.commit()
        memory.resume("default")
        assert memory.wait(task_id, TIMEOUT).state == "succeeded"
        workers.stop_workers()

    def test_not_back_while_tasks_are_unfinished(self, scheduler, persistent_site):
        scheduler.pause("default")
        schedule(len, "x")
        transaction.commit()
        with pytest.raises(TasksUnfinished, match="1 tasks"):
            applyProfile(persistent_site, "collective.background:persistent-uninstall")
        with pytest.raises(TasksUnfinished, match="1 tasks"):
            applyProfile(persistent_site, "collective.background:uninstall")
        assert get_scheduler() is scheduler
        uninstall(persistent_site, force=True)
        transaction.commit()
        assert get_scheduler().executor is process_executor()

    def test_the_worker_of_a_retired_scheduler_ends(self, scheduler, persistent_site):
        worker = workers.worker_of(scheduler)
        uninstall(persistent_site)
        transaction.commit()
        worker.wake_up()
        worker._thread.join(TIMEOUT)
        assert worker.is_retired
        assert not worker._thread.is_alive()


class TestDiscovery:
    def test_finds_the_sites_that_have_tasks(self, scheduler, persistent_site, folder):
        task_id = schedule(create, folder, "new")
        transaction.commit()
        workers.stop_workers()
        database = persistent_site._p_jar.db()
        workers.Discovery(database).look()
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"


def test_a_queue_that_only_another_instance_has(scheduler, folder):
    with pytest.raises(BadOption, match="no queue 'mail'"):
        using(queue="mail").schedule(create, folder, "new")
    scheduler.instances_by_id[OTHER] = Instance(OTHER, {"mail": 3})
    task_id = using(queue="mail").schedule(create, folder, "new")
    transaction.commit()
    transaction.begin()
    slots = {queue.name: (queue.slots, queue.waiting) for queue in scheduler.queues()}
    assert slots["mail"] == (3, 1)
    assert scheduler.cancel(task_id).state == "cancelled"
