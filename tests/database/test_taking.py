"""Taking over: what one instance has reserved and sent is run by another one."""

from collective.background.database import ends
from collective.background.database import looking
from collective.background.database import taking
from collective.background.database.pacing import PATIENCE
from collective.background.database.taking import Offer
from collective.background.scheduling.contention import OFTEN
from members import Member
from threading import Event
from threading import Thread
from time import monotonic

import pytest
import sys


@pytest.fixture
def sender(bare):
    """An instance that reserves tasks and sends them."""
    return Member(bare, concurrency=8)


@pytest.fixture
def make_worker(bare):
    """Return a function that makes an instance which runs only what was sent."""
    made = []

    def make_worker():
        made.append(Member(bare, role="celery"))
        return made[-1]

    yield make_worker
    for worker in made:
        worker.feeder.stop()


@pytest.fixture
def worker(make_worker):
    return make_worker()


@pytest.fixture
def send(bare, sender):
    """Return a function that has a new task sent, and returns its StoredTask."""

    def send(**options):
        stored = bare.add(**options)
        bare.manager.commit()
        bare.manager.begin()
        assert sender.look()
        bare.manager.begin()
        holding = bare.scheduler.holdings[sender.id]
        assert stored.id in holding.tasks
        holding.sent = frozenset(holding.tasks)
        bare.manager.commit()
        bare.manager.begin()
        return stored

    return send


@pytest.fixture
def now(bare):
    """Return a function that returns a StoredTask, as it is in the database now."""

    def now(stored):
        bare.manager.begin()
        return stored

    return now


@pytest.fixture
def not_early(monkeypatch):
    """No message is taken for one that comes early."""
    monkeypatch.setattr(taking, "EARLY", 0.0)


def offer(worker, id, fence):
    """A thread of a worker offers to run a task; return the Offer."""
    made = Offer(id, fence)
    worker.feeder.offers.add(made)
    return made


@pytest.fixture
def succeed(worker, now):
    """Return a function that has a worker run a task, and returns its Held."""

    def succeed(stored):
        offered = offer(worker, stored.id, stored.fence)
        assert worker.look()
        held = offered.held
        held.task = now(stored).make_task(None)
        worker.ends(held)
        held.has_thread = False
        held.ended_at = monotonic()
        return held

    return succeed


class TestWhatWasSent:
    def test_is_the_instance_s_that_runs_it(self, send, sender, worker, now):
        stored = send()
        offered = offer(worker, stored.id, stored.fence)
        assert worker.look()
        assert now(stored).instance == worker.id
        assert offered.held.claim.fence == stored.fence
        assert stored.record().state == "running"
        assert stored.record().attempts == 1
        assert worker.uses() == [("default", ())]
        assert sender.look()
        assert not sender.feeder.held
        assert stored.instance == worker.id

    def test_has_begun_unless_it_may_run_again(self, send, worker, now):
        once, again = send(), send(rerun=True)
        for stored in (once, again):
            offer(worker, stored.id, stored.fence)
        assert worker.look()
        assert now(once).has_begun
        assert not again.has_begun

    def test_may_end_in_the_middle_of_a_look(self, send, worker, bare, now):
        """The look has settled other ends by then, and sees that it was cancelled."""
        stored = send()
        offered = offer(worker, stored.id, stored.fence)
        assert worker.look()
        bare.scheduler.shards.request(stored.id, "cancel")
        bare.manager.commit()
        offered.held.has_thread = False
        assert worker.look()
        assert now(stored).instance == worker.id
        assert offered.held.is_cancelled

    def test_its_end_is_settled_with_what_is_taken_over_next(self, send, worker, now):
        first, second = send(), send()
        offered = offer(worker, first.id, first.fence)
        assert worker.look()
        worker.ends(offered.held)
        offered.held.has_thread = False
        offer(worker, second.id, second.fence)
        assert worker.look()
        assert now(first).state == "succeeded"
        assert second.instance == worker.id
        assert set(worker.feeder.held) == {second.id}

    def test_its_success_may_wait_until_there_are_more(
        self, send, worker, succeed, monkeypatch
    ):
        monkeypatch.setattr(ends, "PATIENCE", 3600.0)
        first, second = succeed(send()), send()
        offer(worker, second.id, second.fence)
        assert worker.look()
        assert set(worker.feeder.held) == {first.claim.id, second.id}
        assert worker.feeder.look_at <= first.ended_at + 2 * 3600.0
        assert worker.look()
        assert set(worker.feeder.held) == {second.id}

    def test_but_not_for_long(self, send, worker, succeed):
        first, second = succeed(send()), send()
        first.ended_at -= PATIENCE
        offer(worker, second.id, second.fence)
        assert worker.look()
        assert set(worker.feeder.held) == {second.id}

    @pytest.mark.parametrize("options", [{"lock": "erp"}, {"unique": "erp"}])
    def test_nor_if_others_wait_for_it(self, send, worker, succeed, options):
        succeed(send(**options))
        second = send()
        offer(worker, second.id, second.fence)
        assert worker.look()
        assert set(worker.feeder.held) == {second.id}

    def test_nor_if_it_is_no_success(self, send, worker, succeed):
        first, second = succeed(send()), send()
        worker.ends(first, "failed")
        offer(worker, second.id, second.fence)
        assert worker.look()
        assert set(worker.feeder.held) == {second.id}

    def test_keeps_its_locks_from_others(self, send, sender, worker, bare, now):
        stored = send(lock="erp")
        other = bare.add(lock="erp")
        bare.manager.commit()
        offer(worker, stored.id, stored.fence)
        assert worker.look()
        assert sender.look()
        assert not now(other).instance
        assert [locks for _, locks in worker.uses()] == [("erp",)]


class TestAMessageThatIsFasterThanTheDatabase:
    """A client learns of others' commits some time after these."""

    def test_waits_for_that(self, bare, sender, worker, now):
        stored = bare.add()
        bare.manager.commit()
        offered = offer(worker, stored.id, 1)
        assert worker.look()
        assert not offered.is_decided
        assert worker.feeder.look_at - monotonic() <= taking.SOON
        assert sender.look()
        now(stored)
        bare.scheduler.holdings[sender.id].sent = frozenset([stored.id])
        bare.manager.commit()
        assert worker.look()
        assert offered.held is not None

    def test_but_not_for_ever(self, worker, monkeypatch):
        offered = offer(worker, "no such id", 1)
        assert worker.look()
        assert not offered.is_decided
        monkeypatch.setattr(offered, "made_at", offered.made_at - taking.EARLY)
        assert worker.look()
        assert "no such task" in offered.refusal

    def test_that_comes_while_a_look_goes_on_is_left_to_the_next_one(
        self, send, worker
    ):
        stored = send()
        worker.begin()
        offered = offer(worker, stored.id, stored.fence)
        assert worker.commit()
        assert not offered.is_decided
        assert worker.look()
        assert offered.held is not None


@pytest.mark.usefixtures("not_early")
class TestWhatIsNotTaken:
    def refused(self, worker, id, fence):
        offered = offer(worker, id, fence)
        assert worker.look()
        assert offered.held is None
        assert not worker.feeder.held
        assert not worker.uses()
        return offered.refusal

    def test_a_forged_one(self, sender, worker, bare, now):
        stored = bare.add()
        bare.manager.commit()
        assert "given to somebody else" in self.refused(worker, stored.id, 0)
        assert sender.look()
        assert "nobody has sent it" in self.refused(worker, stored.id, 1)
        assert now(stored).instance == sender.id

    @pytest.mark.parametrize("id", ["", "no such id", "0" * 32])
    def test_one_that_is_not_there(self, worker, id):
        assert "no such task" in self.refused(worker, id, 1)

    def test_a_replayed_one(self, send, sender, worker, bare):
        stored = send()
        fence = stored.fence
        stored.release()
        bare.manager.commit()
        assert "since" in self.refused(worker, stored.id, fence)

    def test_one_that_has_ended(self, send, worker):
        stored = send()
        offered = offer(worker, stored.id, stored.fence)
        assert worker.look()
        worker.ends(offered.held)
        assert worker.look()
        assert "it has ended" in self.refused(worker, stored.id, stored.fence)

    def test_one_that_another_worker_has(self, send, worker, make_worker, now):
        stored = send()
        offer(worker, stored.id, stored.fence)
        assert worker.look()
        refusal = self.refused(make_worker(), stored.id, stored.fence)
        assert "another worker has it" in refusal
        assert now(stored).instance == worker.id

    def test_one_that_another_worker_takes_at_the_same_time(
        self, send, worker, make_worker, now
    ):
        stored, other = send(), make_worker()
        offers = [offer(each, stored.id, stored.fence) for each in (worker, other)]
        worker.begin()
        other.begin()
        assert [worker.commit(), other.commit()] == [True, False]
        assert other.look()
        assert offers[0].held is not None
        assert "another worker has it" in offers[1].refusal

    def test_one_that_comes_twice(self, send, worker):
        stored = send()
        offer(worker, stored.id, stored.fence)
        assert "twice" in worker.feeder.offers.run(stored.id, stored.fence, 60)

    def test_one_of_a_later_version(self, send, worker, bare):
        stored = send()
        stored.version += 1
        bare.manager.commit()
        assert "later version" in self.refused(worker, stored.id, stored.fence)

    def test_one_that_is_cancelled_meanwhile(self, send, worker, bare, now):
        stored = send()
        bare.scheduler.shards.request(stored.id, "cancel")
        bare.manager.commit()
        assert "cancelled" in self.refused(worker, stored.id, stored.fence)
        assert now(stored).state == "cancelled"

    def test_one_of_a_queue_that_is_paused(self, send, worker, bare, now):
        stored = send()
        bare.scheduler.pause("default")
        bare.manager.commit()
        assert "is paused" in self.refused(worker, stored.id, stored.fence)
        assert now(stored).is_reserved

    def test_one_of_a_site_of_another_deployment(self, send, worker, now):
        stored = send()
        offered = offer(worker, stored.id, stored.fence)
        assert worker.look(work=looking.stand_still)
        assert "another deployment" in offered.refusal
        assert now(stored).instance != worker.id

    def test_any_by_a_process_that_ends(self, send, worker):
        stored = send()
        worker.feeder.stop()
        assert "about to end" in self.refused(worker, stored.id, stored.fence)
        offered = offer(worker, stored.id, stored.fence)
        assert worker.look(work=looking.last)
        assert "about to end" in offered.refusal


class TestThoseThatConflict:
    def test_stand_in_the_line_of_their_kind(self, send, sender, worker, bare, now):
        """Who executes has seen it, and not who sends."""
        stored = send()
        for _ in range(OFTEN):
            worker.feeder.contention.note(stored.callable, True)
        offered = offer(worker, stored.id, stored.fence)
        assert worker.look()
        assert "those of its kind conflict" in offered.refusal
        assert not now(stored).is_reserved
        assert stored.locks
        assert sender.look()  # it finds that the task is not its own any more
        assert sender.look()
        assert now(stored).instance == sender.id
        holding = bare.scheduler.holdings[sender.id]
        holding.sent = frozenset(holding.tasks)
        bare.manager.commit()
        offered = offer(worker, stored.id, stored.fence)
        assert worker.look()
        assert offered.held.locks == stored.locks


class TestOneThatMayHaveKilledAProcess:
    def test_runs_alone(self, send, worker, bare, now):
        first, marked, last = send(), send(rerun=True), send()
        marked.is_marked = True
        bare.manager.commit()
        offers = [
            offer(worker, stored.id, stored.fence) for stored in (first, marked, last)
        ]
        assert worker.look()
        assert [each.held is not None for each in offers] == [False, True, False]
        assert now(marked).has_begun
        worker.ends(offers[1].held)
        assert worker.look()
        assert [each.is_decided for each in offers] == [True, True, True]


class TestACommitInDoubt:
    def test_is_found_by_the_next_look(self, send, worker, bare, now):
        """The answer of the storage was lost: what it says is true all the same."""
        stored = send()
        offered = offer(worker, stored.id, stored.fence)
        worker.begin()
        worker.commit(tells=False)
        assert worker.look()
        assert offered.held is not None
        assert now(stored).instance == worker.id
        assert stored.status.attempts == 1


class TestTheThread:
    def test_runs_it_and_leaves_its_end(self, send, worker, monkeypatch):
        stored, ran = send(), []
        monkeypatch.setattr(taking, "work_on", lambda feeder, held: ran.append(held))
        thread = Thread(
            target=worker.feeder.offers.run, args=(stored.id, stored.fence, 60)
        )
        thread.start()
        while not worker.feeder.offers.waiting():
            Event().wait(0.001)
        assert worker.look()
        thread.join(60)
        assert [held.claim.id for held in ran] == [stored.id]

    def test_waits_no_longer_than_it_may(self, send, worker, now):
        stored = send()
        refusal = worker.feeder.offers.run(stored.id, stored.fence, 0.01)
        assert "in time" in refusal
        assert worker.look()
        assert now(stored).instance != worker.id

    def test_that_is_interrupted_while_it_waits(self, send, worker, now, monkeypatch):
        stored = send()
        changed = worker.feeder.changed
        monkeypatch.setattr(changed, "wait_for", lambda *_: sys.exit())
        with pytest.raises(SystemExit):
            worker.feeder.offers.run(stored.id, stored.fence, 60)
        assert worker.look()
        assert now(stored).instance != worker.id

    @pytest.mark.parametrize(
        ("has_begun", "state"), [(False, "queued"), (True, "failed")]
    )
    def test_that_is_interrupted_later(
        self, send, worker, now, monkeypatch, has_begun, state
    ):
        """What had begun is not to begin once more."""
        stored = send()

        def run(feeder, held):
            if has_begun:
                held.task = stored.make_task(None)
            sys.exit()

        def wait_for(*_):
            worker.look()
            return True

        monkeypatch.setattr(taking, "work_on", run)
        monkeypatch.setattr(worker.feeder.changed, "wait_for", wait_for)
        with pytest.raises(SystemExit):
            worker.feeder.offers.run(stored.id, stored.fence, 60)
        assert worker.feeder.held
        assert worker.look()
        assert now(stored).state == state
        assert not worker.feeder.held

    def test_that_went_away_meanwhile_leaves_nothing(self, send, worker, now):
        stored = send()
        offered = offer(worker, stored.id, stored.fence)
        worker.begin()
        worker.feeder.offers.withdraw(offered)
        assert worker.commit()
        assert now(stored).instance == worker.id
        assert worker.look()
        assert not now(stored).is_reserved
        assert stored.state == "queued"
