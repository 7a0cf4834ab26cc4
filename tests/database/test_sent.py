"""What becomes of tasks that were sent to workers of Celery, as the sender sees it."""

from collective.background.database import changes
from collective.background.database.instances import BEATS
from collective.background.database.instances import instances_of
from collective.background.database.look import Look
from collective.background.database.looking import last
from collective.background.database.looking import stand_still
from collective.background.database.looking import usual
from collective.background.database.relaying import sent_by_queue
from collective.background.database.rescue import rescue_all
from collective.background.database.sent import rescue
from collective.background.database.settling import News
from time import monotonic
from transaction import TransactionManager
from ZODB.POSException import ConflictError
from ZODB.POSException import ReadConflictError

import pytest


WORKER = "worker 0"


@pytest.fixture
def sender(bare, sends, works):
    works(default=1)
    return sends()


@pytest.fixture
def send(bare, sender):
    """Return a function that has a task sent, and returns its StoredTask."""

    def send(**options):
        stored = bare.add(**options)
        bare.see_to(sender, usual)
        assert stored.is_sent
        return stored

    return send


def succeed(bare, stored, *, settles=False):
    """A worker has done it; ``settles``: and is about to tell more of it."""
    task = stored.make_task(None)
    task.attempts = 1
    stored.status.succeed(stored.fence, task, None, WORKER, settles=settles)
    bare.manager.commit()
    bare.manager.begin()


def begin(bare, stored):
    """A worker has begun it."""
    stored.begin(WORKER)
    bare.manager.commit()
    bare.manager.begin()


def test_what_is_done_is_settled(bare, sender, send):
    stored = send()
    succeed(bare, stored)
    bare.see_to(sender, usual)
    assert (stored.state, stored.instance) == ("succeeded", WORKER)
    assert (stored.attempts, stored.finished) == (1, stored.status.finished)
    assert not sender.held
    assert not sender.executor.relay.backlog()
    assert not bare.scheduler.holdings[sender.executor.instance].tasks


def test_of_many_in_one_transaction(bare, sends, works):
    works(default=4)
    sender = sends()
    tasks = [bare.add() for _ in range(8)]
    bare.see_to(sender, usual)
    for stored in tasks:
        succeed(bare, stored)
    before = bare.database.lastTransaction()
    bare.see_to(sender, usual)
    assert {stored.state for stored in tasks} == {"succeeded"}
    assert {stored._p_serial for stored in tasks} == {bare.database.lastTransaction()}
    assert before != bare.database.lastTransaction()


class TestWhatIsDoneAndHasMoreToTell:
    @pytest.fixture(params=[False, True])
    def stored(self, bare, sender, send, request):
        stored = send(rerun=request.param)
        succeed(bare, stored, settles=True)
        bare.see_to(sender, usual)
        return stored

    def test_is_left_to_its_worker(self, bare, sender, stored):
        assert stored.state == "queued"
        assert sender.held[stored.id].is_claimed
        sender.stop()
        look = bare.look(sender)
        last(look)
        assert look.has_more

    def test_but_not_to_a_dead_one(self, bare, sender, stored):
        bare.see_to(sender, lambda look: rescue(look, {WORKER}))
        assert stored.state == "succeeded"
        assert not sender.held

    def test_nor_if_others_have_buried_that(self, bare, sender, stored):
        del bare.connection.root()["collective.background.instances"][WORKER]
        bare.see_to(sender, usual)
        assert stored.state == "succeeded"


def test_what_has_begun_is_no_more_among_what_nobody_has(bare, sender, send):
    first, _ = send(), send()
    third = bare.add()
    bare.see_to(sender, usual)
    assert not third.is_reserved
    assert sender.executor.relay.unclaimed("default", besides=None) == 2
    begin(bare, first)
    bare.see_to(sender, usual)
    assert third.is_sent
    assert sender.executor.relay.unclaimed("default", besides=None) == 2
    assert sender.executor.relay.backlog() == {"default": 2}
    assert sent_by_queue(bare.scheduler) == {"default": 2}


def test_what_begins_without_a_word_is_taken_for_begun(bare, sender, send):
    """As much of it as there are slots."""
    tasks = [bare.add(rerun=True) for _ in range(5)]
    bare.see_to(sender, usual)
    assert [stored.is_sent for stored in tasks] == [True, True, False, False, False]
    bare.see_to(sender, usual)
    assert [stored.is_sent for stored in tasks] == [True] * 3 + [False] * 2


class TestWhatHasBegun:
    @pytest.fixture
    def stored(self, bare, sender, send):
        stored = send()
        begin(bare, stored)
        bare.see_to(sender, usual)
        return stored

    def is_still_sent(self, sender, stored):
        return stored.is_sent and list(sender.held) == [stored.id]

    def test_is_not_sent_again(self, bare, sender, stored):
        sender.held[stored.id].sent_at -= 2 * sender.settings.lease
        bare.see_to(sender, usual)
        assert self.is_still_sent(sender, stored)

    def test_goes_on_in_a_queue_that_is_paused(self, bare, sender, stored):
        bare.scheduler.pause("default")
        bare.see_to(sender, usual)
        assert self.is_still_sent(sender, stored)

    def test_goes_on_in_a_site_that_belongs_to_another_deployment(
        self, bare, sender, stored
    ):
        bare.see_to(sender, stand_still)
        assert self.is_still_sent(sender, stored)
        succeed(bare, stored)
        bare.see_to(sender, stand_still)
        assert stored.state == "succeeded"

    def test_is_asked_to_stop_by_its_worker(self, bare, sender, stored):
        changes.cancel(bare.scheduler, stored.id, News())
        bare.see_to(sender, usual)
        assert self.is_still_sent(sender, stored)
        assert bare.scheduler.shards.requested(stored.id)

    def test_is_the_worker_s_once_that_has_taken_it_over(self, bare, sender, stored):
        stored.hand_over(WORKER)
        bare.see_to(sender, usual)
        assert not sender.held
        assert stored.instance == WORKER
        assert not sender.executor.relay.backlog()

    def test_is_waited_for_when_this_process_ends(self, bare, sender, stored):
        sender.stop()
        bare.see_to(sender, usual)
        assert self.is_still_sent(sender, stored)
        look = bare.look(sender)
        last(look)
        assert look.has_more
        look.finish()
        assert sender.executor.instance in bare.scheduler.holdings
        stored.hand_over(WORKER)
        bare.see_to(sender, last)
        assert sender.executor.instance not in bare.scheduler.holdings
        assert (stored.state, stored.instance) == ("queued", WORKER)

    def test_or_for_its_end(self, bare, sender, stored):
        sender.stop()
        succeed(bare, stored)
        bare.see_to(sender, last)
        assert stored.state == "succeeded"
        assert sender.executor.instance not in bare.scheduler.holdings

    @pytest.mark.parametrize(
        ("limit", "error"), [(3600.0, "TaskLost"), (0.000001, "TaskKilled")]
    )
    def test_is_lost_with_its_worker(self, bare, sender, stored, limit, error):
        stored.hard_timeout = limit
        bare.see_to(sender, lambda look: rescue(look, {WORKER}))
        assert stored.state == "lost"
        assert stored.error.type.endswith(error)
        assert not sender.held

    def test_not_if_that_is_heard_of_at_this_moment(self, bare, sender, stored):
        look = bare.look(sender)
        rescue(look, {WORKER})
        look.finish()
        manager = TransactionManager()
        connection = bare.database.open(manager)
        instances_of(connection)[WORKER].beat += 1
        manager.commit()
        with pytest.raises(ReadConflictError):
            bare.manager.commit()

    def test_also_if_others_have_buried_that(self, bare, sender, stored):
        del bare.connection.root()["collective.background.instances"][WORKER]
        bare.see_to(sender, usual)
        assert stored.state == "lost"
        assert not sender.held

    @pytest.mark.parametrize(
        ("is_done", "state"), [(False, "lost"), (True, "succeeded")]
    )
    def test_is_not_waited_for_if_its_worker_has_forgotten_it(
        self, bare, sender, stored, is_done, state
    ):
        """As when its work was undone; or it was to settle that it is done."""
        if is_done:
            stored.status.settles = True
            stored.status.done = stored.fence
        worker = instances_of(bare.connection)[WORKER]
        worker.beat += BEATS
        bare.see_to(sender, usual)
        assert self.is_still_sent(sender, stored)
        worker.beat += 1
        bare.see_to(sender, usual)
        assert stored.state == state
        assert not sender.held

    def test_not_with_another_worker(self, bare, sender, stored):
        bare.see_to(sender, lambda look: rescue(look, {"worker 1"}))
        assert self.is_still_sent(sender, stored)

    def test_nor_with_its_sender(self, bare, sends, sender, stored):
        other, dead = sends(), sender.executor.instance
        bare.see_to(other, lambda look: rescue_all(look, {dead}))
        assert (stored.state, stored.instance) == ("queued", dead)
        succeed(bare, stored)
        bare.see_to(other, lambda look: rescue_all(look, {dead}))
        assert stored.state == "succeeded"
        assert dead not in bare.scheduler.holdings


class TestWhatNobodyHasBegun:
    @pytest.mark.parametrize("rerun", [False, True])
    def test_is_sent_again(self, bare, sender, send, rerun):
        """What may run again may be what a worker has died of."""
        stored = send(rerun=rerun)
        sender.held[stored.id].sent_at -= sender.settings.lease + 1
        bare.see_to(sender, usual)
        assert (stored.state, stored.fence) == ("queued", 2)
        assert stored.is_marked is rerun
        bare.see_to(sender, usual)
        assert (stored.is_sent, stored.fence) == (True, 3)

    def test_not_if_a_worker_has_it_when_this_process_ends(self, bare, sender, send):
        """It has taken it over since the last look, for which nobody had the time."""
        stored = send()
        sender.held[stored.id].sent_at -= sender.settings.lease + 1
        stored.hand_over(WORKER)
        bare.see_to(sender, last)
        assert (stored.state, stored.instance, stored.fence) == ("queued", WORKER, 1)
        assert sender.executor.instance not in bare.scheduler.holdings

    def test_not_while_all_workers_are_busy_with_another_site(self, bare, sender, send):
        stored = send()
        relay, other = sender.executor.relay, bare.feeder()
        relay.note_taken(other, {"default": 1})
        sender.held[stored.id].sent_at -= sender.settings.lease + 1
        bare.see_to(sender, usual)
        assert (stored.is_sent, stored.fence) == (True, 1)
        assert 0 < sender.busy.until("default") <= monotonic()


class TestWhatIsGivenBackAtTheMomentOfItsEnd:
    """One of the two conflicts; who looks once more finds that it is done."""

    @pytest.fixture
    def stored(self, bare, sender, send):
        stored = send()
        bare.manager.commit()
        return stored

    def too_late(self, bare, sender, stored, work=usual):
        """A look of the sender that conflicts with the work's commit."""
        manager = TransactionManager()
        connection = bare.database.open(manager)
        scheduler = connection.root()["scheduler"]
        instances = instances_of(connection)
        look = Look(sender, scheduler, bare.clock, instances, 1)
        work(look)
        look.finish()
        bare.manager.begin()
        succeed(bare, stored)
        with pytest.raises(ConflictError):
            manager.commit()
        manager.abort()
        connection.close()
        bare.manager.begin()
        bare.see_to(sender, work)

    def test_as_its_queue_is_paused(self, bare, sender, stored):
        bare.scheduler.pause("default")
        bare.manager.commit()
        self.too_late(bare, sender, stored)
        assert (stored.state, stored.fence) == ("succeeded", 1)

    def test_as_its_site_is_another_deployment_s(self, bare, sender, stored):
        self.too_late(bare, sender, stored, stand_still)
        assert (stored.state, stored.fence) == ("succeeded", 1)

    def test_as_it_was_cancelled(self, bare, sender, stored):
        changes.cancel(bare.scheduler, stored.id, News())
        bare.manager.commit()
        self.too_late(bare, sender, stored)
        assert (stored.state, stored.fence) == ("succeeded", 1)

    def test_as_its_process_ends(self, bare, sender, stored):
        sender.stop()
        self.too_late(bare, sender, stored)
        assert (stored.state, stored.fence) == ("succeeded", 1)

    def test_or_of_its_begin(self, bare, sender, stored):
        """What has begun is not to begin once more."""
        sender.stop()
        begin(bare, stored)
        bare.see_to(sender, usual)
        assert (stored.has_begun, stored.fence) == (True, 1)
