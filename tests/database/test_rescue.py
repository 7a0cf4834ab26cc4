"""What becomes of the tasks that an instance had when it died."""

from another import Another
from another import until
from another import until_looked_who_is_alive
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database.instances import add_instance
from collective.background.database.instances import Holding
from collective.background.database.instances import Instance
from collective.background.database.reports import Report
from collective.background.database.rescue import DEATHS
from collective.background.database.rescue import rescue_all
from collective.background.interfaces import ITaskLost
from collective.background.model.records import Progress
from collective.background.model.records import TaskMessage
from datetime import datetime
from datetime import UTC
from gated_tasks import create
from gated_tasks import note
from helpers import TIMEOUT
from types import SimpleNamespace
from zope.i18nmessageid import Message

import pytest
import transaction


pytestmark = pytest.mark.usefixtures("short_lease")


@pytest.fixture
def dead(another):
    """An instance that is never heard of again after the next commit."""
    return another


def ended(task_id):
    """Commit, and return the record of the task, once it has ended."""
    transaction.commit()
    record = get_scheduler().wait(task_id, TIMEOUT)
    transaction.begin()
    return record


class TestWhatHadRunForTooLong:
    def test_says_that_it_was_ended_by_that(self, scheduler, dead):
        task_id = using(hard_timeout=0.000001).schedule(note, "too long")
        dead.begins(task_id)
        transaction.commit()
        dead.beats()  # it lived on after that
        record = ended(task_id)
        assert record.state == "lost"
        assert "longer than its hard_timeout of 1e-06 seconds" in record.error.message
        assert record.error.public == "It took longer than it may."

    def test_was_not_ended_by_that_if_it_had_not(self, scheduler, dead):
        task_id = using(hard_timeout=3600).schedule(note, "in time")
        dead.begins(task_id)
        error = ended(task_id).error
        assert "hard_timeout" not in error.message
        assert error.public.startswith("The server was stopped")


class TestWhatHadBegun:
    def test_is_lost(self, scheduler, dead, folder):
        task_id = schedule(create, folder, "new")
        dead.begins(task_id)
        record = ended(task_id)
        assert (record.state, record.attempts) == ("lost", 1)
        assert record.error.type.endswith("TaskLost")
        assert record.instance == dead.id
        assert dead.id not in record.error.message  # its user sees that
        assert record.started is not None
        until(lambda: not dead.is_known())
        assert dead.id not in scheduler.holdings
        assert "new" not in folder
        assert scheduler.retry(task_id).state == "queued"
        record = scheduler.wait(task_id, TIMEOUT)
        assert (record.state, record.attempts) == ("succeeded", 2)

    def test_is_told_as_a_failure(self, scheduler, dead, persistent_site):
        task_id = using(title="Work", on_failure=note).schedule(len, "x")
        dead.begins(task_id)
        ended(task_id)
        scheduler.wait_all(TIMEOUT)
        transaction.begin()
        assert persistent_site.description == "Work: lost"

    def test_is_announced_as_lost(self, dead, folder, subscribe):
        told = []
        subscribe(ITaskLost, lambda event: told.append(event.record.id))
        task_id = schedule(create, folder, "new")
        dead.begins(task_id)
        ended(task_id)
        until(lambda: told)
        assert told == [task_id]

    def test_has_told_something_which_is_kept(self, dead, folder):
        report = Report()
        log = [f"line {number}" for number in range(50)]
        progress = Progress(done=8, total=9)
        messages = (TaskMessage(text="eight"),)
        options = SimpleNamespace(title="Nearly done")
        task = SimpleNamespace(
            options=options, progress=progress, messages=messages, log=log, lines=50
        )
        report.tell(task, None)
        task_id = schedule(create, folder, "new")
        dead.reserves(task_id, begins=True, started=datetime.now(UTC), report=report)
        record = ended(task_id)
        assert record.state == "lost"
        assert (record.title, record.progress) == ("Nearly done", progress)
        assert (record.messages, record.log) == (messages, tuple(log))

    def test_is_lost_with_what_a_batch_had_committed(self, scheduler, dead):
        task_id = schedule_batch(len, ["a", "b"], size=1)
        dead.commits(task_id, cursor=1)
        record = ended(task_id)
        assert record.state == "lost"
        assert (record.progress.done, record.progress.total) == (1, 2)
        scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"

    def test_has_succeeded_if_its_work_is_committed(self, dead, scheduler):
        task_id = schedule(len, "abc")
        dead.commits(task_id, result=3)
        record = ended(task_id)
        assert (record.state, record.attempts) == ("succeeded", 1)
        assert scheduler.get_result(task_id) == (3, None)

    def test_or_if_all_of_a_batch_is(self, scheduler, dead):
        task_id = schedule_batch(len, ["a", "b"])
        dead.commits(task_id, cursor=2)
        assert ended(task_id).state == "succeeded"
        assert scheduler.get_result(task_id)[0].done == 2

    def test_is_cancelled_if_somebody_has_asked_for_that(self, scheduler, dead):
        task_id = using(rerun=True).schedule(len, "abc")
        dead.begins(task_id)
        scheduler.shards.request(task_id, "cancel")
        record = ended(task_id)
        assert record.state == "cancelled"
        assert "before its next attempt" in record.error.message


class TestWhatWasOnlyReserved:
    @pytest.mark.parametrize("rerun", [True, False])
    def test_runs_as_if_nothing_had_been(self, dead, folder, rerun):
        task_id = using(rerun=rerun).schedule(create, folder, "new")
        dead.reserves(task_id)
        record = ended(task_id)
        assert (record.state, record.attempts) == ("succeeded", 1)
        assert "new" in folder

    def test_may_be_cancelled_meanwhile(self, short_lease, scheduler, dead, folder):
        short_lease.by, by = 0.0, short_lease.by  # nobody knows yet that it is dead
        task_id = schedule(create, folder, "new")
        dead.reserves(task_id)
        transaction.commit()
        record = scheduler.cancel(task_id)
        assert (record.state, record.cancel_requested) == ("queued", True)
        short_lease.by = by
        record = ended(task_id)
        assert record.state == "cancelled"
        assert "before it had begun" in record.error.message
        assert "new" not in folder


class TestWhatMayRunAgain:
    def test_runs_again(self, dead, folder):
        task_id = using(rerun=True).schedule(create, folder, "new")
        started = datetime.now(UTC)
        dead.reserves(task_id, started=started)
        record = ended(task_id)
        assert (record.state, record.attempts) == ("succeeded", 2)
        first, second = record.timeline
        assert (first.number, first.state, first.started) == (1, "lost", started)
        assert first.instance != second.instance
        assert second.state == "succeeded"
        assert "new" in folder

    def test_and_the_log_says_that_it_does_so_alone(self, dead, folder, caplog):
        title = Message("Row ${n}", mapping={"n": 7})
        task_id = using(rerun=True, title=title).schedule(create, folder, "new")
        dead.reserves(task_id)
        ended(task_id)
        (line,) = (line for line in caplog.messages if "runs alone" in line)
        assert f"task {task_id} 'Row 7' runs alone" in line

    def test_begins_with_a_commit_from_then_on(self, scheduler, dead, folder):
        """Since it may be what the instance has died of."""
        task_id = using(rerun=True).schedule(create, folder, "new")
        dead.reserves(task_id)
        assert ended(task_id).state == "succeeded"
        stored = scheduler.shards.find(task_id)
        assert stored.status.begun == stored.status.done > 0

    def test_is_lost_after_it_was_there_when_three_have_died(self, scheduler, dead):
        task_id = using(rerun=True).schedule(len, "abc")
        stored = dead.begins(task_id)
        stored.is_marked = True
        stored.deaths = DEATHS - 1
        record = ended(task_id)
        assert record.state == "lost"
        assert "3 processes have ended" in record.error.message
        scheduler.retry(task_id)
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
        transaction.begin()
        assert scheduler.shards.find(task_id).deaths == 0


def test_a_task_that_kills_its_process(bare):
    """Four times: at first nobody knows whether it was this one."""
    stored = bare.add(rerun=True)
    bare.manager.commit()
    states = []
    for number in range(1 + DEATHS):
        holding = Holding(f"instance {number}")
        fence = stored.reserve(holding.instance)
        holding.tasks = {stored.id: (fence, None, None)}
        bare.scheduler.holdings[holding.instance] = holding
        if stored.begins_with_commit:
            stored.begin(holding.instance)
        bare.manager.commit()
        bare.manager.begin()
        rescue_all(bare.look(bare.feeder()), {holding.instance})
        assert holding.instance not in bare.scheduler.holdings
        states.append((stored.state, stored.is_marked, stored.deaths))
    assert states == [
        ("queued", True, 0),
        ("queued", True, 1),
        ("queued", True, 2),
        ("lost", False, 3),
    ]
    record = stored.record()
    assert record.attempts == 3
    assert record.error.message.startswith("3 processes have ended while the task ran")


class TestInstances:
    def test_one_that_is_heard_of_keeps_its_tasks(
        self, short_lease, paused, another, folder
    ):
        short_lease.by, seconds = 0.0, short_lease.by
        task_id = schedule(create, folder, "new")
        another.begins(task_id)
        transaction.commit()
        silent = Another("silent-host:1:abcd").joins()
        transaction.commit()
        while silent.is_known():
            another.beats()
            transaction.commit()
            short_lease.now += seconds
            until_looked_who_is_alive()
        assert paused.record(task_id).state == "running"
        assert paused.record(task_id).instance == another.id

    def test_what_one_has_that_nobody_knows_is_taken_over_as_well(self, dead, folder):
        """It was declared dead by somebody who could not see to all of its tasks."""
        unknown = Another("unknown-host:1:abcd")
        task_id = schedule(create, folder, "new")
        unknown.begins(task_id)
        assert ended(task_id).state == "lost"


class TestWhatWasOnlySent:
    """To workers of Celery, by an instance that is gone."""

    @pytest.fixture
    def relay(self):
        return "a relay"

    def reserved(self, bare, relay, **options):
        stored = bare.add(**options)
        holding = Holding(relay)
        fence = stored.reserve(relay, is_sent=True)
        uses = {stored.id: ("default", ())}
        holding.keep({stored.id: (fence, None, None)}, uses, (stored.id,))
        bare.scheduler.holdings[relay] = holding
        bare.manager.commit()
        bare.manager.begin()
        return stored

    @pytest.mark.parametrize("rerun", [False, True])
    def test_waits_on(self, bare, relay, rerun):
        """What may run again may have begun in a worker that is gone, too."""
        stored = self.reserved(bare, relay, rerun=rerun)
        rescue_all(bare.look(bare.feeder()), {relay})
        assert (stored.state, stored.instance) == ("queued", "")
        assert stored.is_marked is rerun
        assert relay not in bare.scheduler.holdings

    def test_and_has_begun_is_left_to_the_worker_that_runs_it(self, bare, relay):
        stored = self.reserved(bare, relay)
        add_instance(bare.connection, Instance("a worker", "celery", {}))
        stored.begin("a worker")
        feeder = bare.feeder()
        rescue_all(bare.look(feeder), {relay})
        assert stored.instance == relay
        assert list(bare.scheduler.holdings[relay].tasks) == [stored.id]
        stored.hand_over("a worker")
        rescue_all(bare.look(feeder), {relay})
        assert relay not in bare.scheduler.holdings
        assert stored.record().state == "running"

    def test_and_has_begun_in_a_worker_that_is_gone_as_well_is_lost(self, bare, relay):
        stored = self.reserved(bare, relay)
        stored.begin("a worker")
        rescue_all(bare.look(bare.feeder()), {relay, "a worker"})
        assert stored.state == "lost"

    def test_and_is_done_has_succeeded(self, bare, relay):
        stored = self.reserved(bare, relay)
        add_instance(bare.connection, Instance("a worker", "celery", {}))
        task = stored.make_task(None)
        task.attempts = 1
        stored.status.succeed(stored.fence, task, None, "a worker")
        rescue_all(bare.look(bare.feeder()), {relay})
        assert (stored.state, stored.instance) == ("succeeded", "a worker")
        assert relay not in bare.scheduler.holdings

    def test_and_taken_over_by_a_worker_is_that_one_s(self, bare, relay):
        stored = self.reserved(bare, relay)
        stored.instance = "a worker"
        rescue_all(bare.look(bare.feeder()), {relay})
        assert (stored.state, stored.instance) == ("queued", "a worker")
        assert relay not in bare.scheduler.holdings
