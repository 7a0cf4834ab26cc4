"""What is reserved for workers of Celery, how much of it, and what becomes of that."""

from another import Another
from another import until
from collective.background import schedule
from collective.background.celery.messages import broker_queue
from collective.background.celery.relay import Relay
from collective.background.celery.sending import Sender
from collective.background.database import changes
from collective.background.database import sent as sent_tasks
from collective.background.database import stealing
from collective.background.database.claims import Claim
from collective.background.database.holding import Held
from collective.background.database.instances import Holding
from collective.background.database.instances import instances_for
from collective.background.database.instances import instances_of
from collective.background.database.instances import remove_instance
from collective.background.database.looking import last
from collective.background.database.looking import usual
from collective.background.database.rescue import rescue_all
from collective.background.database.settling import News
from collective.background.exceptions import BadMessage
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import process_executor
from collective.background.model.config import CELERY
from collective.background.showing.waiting import Reasons
from functools import partial
from helpers import TIMEOUT
from kombu import Connection
from math import inf
from time import monotonic
from types import SimpleNamespace
from zope.component.hooks import getSite
from zope.i18n import translate

import pytest
import transaction


BROKER = "memory://"


def sent(bare, feeder):
    """Make a look; return the StoredTasks that are sent and not taken over yet."""
    bare.see_to(feeder, usual)
    holding = bare.scheduler.holdings.get(feeder.executor.instance)
    found = () if holding is None else holding.sent
    assert {held.claim.id for held in feeder.held.for_workers()} == set(found)
    return [bare.scheduler.shards.find(id) for id in found]


def received():
    """Return the next payload at the broker; as of then, the transaction is new."""
    name = broker_queue("default")
    with Connection(BROKER) as broker, broker.SimpleQueue(name) as messages:
        message = messages.get(timeout=TIMEOUT)
        message.ack()
    transaction.begin()
    return message.payload[0][0]


def _raise(error):
    raise error


def take_over(bare, stored, worker):
    """As a worker does with what was sent to it."""
    stored.hand_over(worker.id)
    bare.manager.commit()
    bare.manager.begin()


class TestHowMuch:
    def test_nothing_without_a_worker(self, bare, sends):
        bare.add()
        assert sent(bare, sends()) == []

    def test_nothing_while_the_broker_is_away(self, bare, sends, works):
        works()
        feeder = sends()
        feeder.executor.relay._is_connected = False
        bare.add()
        assert sent(bare, feeder) == []

    def test_twice_what_the_workers_have_slots(self, bare, sends, works):
        works(default=2)
        works(default=1, imports=7)
        tasks = [bare.add() for _ in range(10)]
        feeder = sends()
        assert sent(bare, feeder) == tasks[:6]
        assert sent(bare, feeder) == tasks[:6]

    def test_more_when_a_worker_has_taken_one_over(self, bare, sends, works):
        worker = works(default=1)
        tasks = [bare.add() for _ in range(4)]
        feeder = sends()
        assert sent(bare, feeder) == tasks[:2]
        take_over(bare, tasks[0], worker)
        assert sent(bare, feeder) == tasks[1:3]
        assert tasks[0].instance == worker.id

    def test_all_who_send_have_a_share(self, bare, sends, works, monkeypatch):
        monkeypatch.setattr(stealing, "GRACE", 0.0)  # all are in one shard
        works(default=4)
        tasks = [bare.add() for _ in range(20)]
        feeders = [sends(), sends()]
        found = [sent(bare, feeder) for feeder in feeders]
        assert [len(each) for each in found] == [4, 4]
        assert len({task.id for each in found for task in each}) == 8
        assert {task.id for each in found for task in each} <= {t.id for t in tasks}

    def test_who_draws_back_has_none(self, bare, sends, works):
        works(default=2).is_draining = True
        bare.add()
        assert sent(bare, sends()) == []

    def test_also_by_who_only_serves_visitors(self, bare, sends, works):
        works()
        tasks = [bare.add(), bare.add(eta=-1)]
        assert sent(bare, sends(role="web")) == tasks

    def test_other_queues_stay_with_threads(self, bare, sends, works):
        works(imports=1)
        tasks = [bare.add(), bare.add(queue="imports")]
        feeder = sends(queues={"imports": 1}, celery_queues={"imports"})
        assert sent(bare, feeder) == tasks[1:]
        assert [held.claim.id for held in feeder.held.for_threads()] == [tasks[0].id]

    def test_threads_leave_the_queues_of_celery_alone(self, bare, sends):
        bare.add()
        feeder = sends()
        sent(bare, feeder)
        assert feeder.slots == {}
        assert feeder.held.not_over() == []

    def test_in_the_order_of_their_line(self, bare, sends, works):
        works(default=1)
        tasks = [bare.add(priority=priority) for priority in (0, 1, 2)]
        assert sent(bare, sends()) == [tasks[2], tasks[1]]

    def test_nothing_of_a_queue_that_is_paused(self, bare, sends, works):
        works()
        task = bare.add()
        feeder = sends()
        bare.scheduler.paused.add("default")
        assert sent(bare, feeder) == []
        bare.scheduler.paused.remove("default")
        assert sent(bare, feeder) == [task]
        bare.scheduler.paused.add("default")
        assert sent(bare, feeder) == []
        assert not task.is_reserved

    def test_a_limit_goes_for_all(self, bare, sends, works):
        worker = works(default=4)
        tasks = [bare.add() for _ in range(4)]
        feeder = sends(limits={"default": 3})
        assert sent(bare, feeder) == tasks[:3]
        take_over(bare, tasks[0], worker)
        assert sent(bare, feeder) == tasks[1:]  # the worker has not said so yet

    def test_one_with_a_lock_at_a_time(self, bare, sends, works):
        works(default=4)
        tasks = [bare.add(lock="erp") for _ in range(2)]
        assert sent(bare, sends()) == tasks[:1]

    def test_no_thread_begins_what_waits_for_the_same_lock(self, bare, sends, works):
        works(imports=1)
        task = bare.add(lock="erp", queue="imports")
        other = bare.add(lock="erp")
        feeder = sends(queues={"imports": 1}, celery_queues={"imports"})
        assert sent(bare, feeder) == [task]
        assert sent(bare, feeder) == [task]
        assert not other.is_reserved

    def test_what_cannot_be_sent_keeps_no_thread_from_a_lock(self, bare, sends, works):
        works(imports=1)
        bare.add(lock="erp", queue="imports")
        other = bare.add(lock="erp")
        feeder = sends(queues={"imports": 1}, celery_queues={"imports"})
        feeder.executor.relay._is_connected = False
        instances_of(bare.connection)[feeder.executor.instance].is_cut_off = True
        assert sent(bare, feeder) == []
        assert other.is_reserved

    def test_what_may_have_killed_its_process_holds_up_no_thread(
        self, bare, sends, works
    ):
        works(imports=1)
        marked = bare.add(queue="imports", rerun=True)
        marked.is_marked = True
        other = bare.add()
        feeder = sends(queues={"imports": 1}, celery_queues={"imports"})
        assert sent(bare, feeder) == [marked]
        assert other.is_reserved


class TestWhatBecomesOfIt:
    @pytest.fixture
    def task(self, bare, works):
        works(default=1)
        return bare.add()

    @pytest.fixture
    def feeder(self, bare, sends, task):
        feeder = sends()
        assert sent(bare, feeder) == [task]
        return feeder

    def test_it_is_reserved_and_still_queued(self, feeder, task):
        assert (task.state, task.instance) == ("queued", feeder.executor.instance)

    def test_the_relay_has_it(self, feeder, task):
        (parcel,) = feeder.executor.relay._parcels
        assert parcel.held.claim == Claim(
            id=task.id,
            oid=task._p_oid,
            fence=1,
            database_name="unnamed",
        )
        assert parcel.feeder is feeder
        assert parcel.title == "builtins.len"

    def test_it_is_sent_again_when_nobody_has_taken_it_over(self, bare, feeder, task):
        (held,) = feeder.held.for_workers()
        held.sent_at = monotonic() - feeder.settings.lease - 1
        assert sent(bare, feeder) == []
        assert sent(bare, feeder) == [task]
        assert task.fence == 3
        assert [p.held.claim.fence for p in feeder.executor.relay._parcels] == [1, 3]
        assert feeder.executor.relay.backlog()["default"] == 1

    @pytest.fixture
    def worker(self, bare, feeder):
        """The id of the worker, which has one slot."""
        (worker,) = (id for id in instances_of(bare.connection) if "worker" in id)
        return worker

    @pytest.fixture
    def lease_is_over(self, clock, feeder):
        """Return a function that lets the lease pass, without a look meanwhile."""

        def lease_is_over():
            clock.now += feeder.settings.lease + 1

        return lease_is_over

    def test_it_is_not_while_all_workers_are_busy(
        self, lease_is_over, bare, feeder, task, worker
    ):
        """The time counts from the first look that finds one that is not."""
        holding = bare.scheduler.holdings[worker] = Holding(worker)
        holding.keep({"x": (1, None, None)}, {"x": ("default", ())})
        for _ in range(2):
            lease_is_over()
            assert sent(bare, feeder) == [task]
        holding.keep({}, {})
        lease_is_over()
        assert sent(bare, feeder) == [task]
        assert task.fence == 1
        lease_is_over()
        assert sent(bare, feeder) == []

    def test_it_is_not_while_a_worker_is_replaced(
        self, lease_is_over, bare, feeder, task, worker, works
    ):
        assert sent(bare, feeder) == [task]
        remove_instance(bare.connection, worker)
        lease_is_over()
        assert sent(bare, feeder) == [task]
        works(default=1)
        lease_is_over()
        assert sent(bare, feeder) == [task]
        assert task.fence == 1
        lease_is_over()
        assert sent(bare, feeder) == []

    def test_it_waits_for_another_one_when_none_replaces_the_worker(
        self, clock, lease_is_over, bare, feeder, task, worker
    ):
        assert sent(bare, feeder) == [task]
        remove_instance(bare.connection, worker)
        assert sent(bare, feeder) == [task]
        clock.now += sent_tasks.REPLACING
        assert sent(bare, feeder) == [task]
        lease_is_over()
        assert sent(bare, feeder) == []
        assert sent(bare, feeder) == []

    def test_it_is_looked_at_again_by_then(self, feeder):
        assert feeder.look_at <= monotonic() + feeder.settings.lease

    def test_for_a_while_it_is_soon_looked_whether_workers_want_more(
        self, clock, bare, feeder, task
    ):
        assert feeder.look_at <= clock.now + sent_tasks.BRISK
        take_over(bare, task, SimpleNamespace(id="a worker"))
        clock.now += sent_tasks.WHILE / 2
        assert sent(bare, feeder) == []
        assert feeder.look_at <= clock.now + sent_tasks.WHILE
        clock.now += sent_tasks.WHILE
        feeder.count_at = inf  # nor is there anything else to do
        assert sent(bare, feeder) == []
        assert feeder.look_at > clock.now + sent_tasks.WHILE

    def test_what_could_not_be_sent_waits_on(self, bare, feeder, task):
        (parcel,) = feeder.executor.relay._parcels
        feeder.executor.relay._is_connected = False
        parcel.failed()
        assert sent(bare, feeder) == []
        assert (task.state, task.instance) == ("queued", "")
        assert feeder.executor.relay.backlog()["default"] == 0

    def test_what_cannot_be_sent_at_all_fails(self, bare, feeder, task):
        (parcel,) = feeder.executor.relay._parcels
        parcel.refused(BadMessage("no message can be made of it"))
        assert sent(bare, feeder) == []
        assert task.state == "failed"
        assert "no message can be made of it" in task.record().error.message
        assert feeder.executor.relay.backlog()["default"] == 0

    def test_it_may_be_cancelled(self, bare, feeder, task):
        changes.cancel(bare.scheduler, task.id, News())
        bare.manager.commit()
        bare.manager.begin()
        assert sent(bare, feeder) == []
        assert task.state == "cancelled"

    def test_at_the_end_it_is_given_back(self, bare, feeder, task):
        feeder.stop()
        assert not feeder.executor.relay.backlog()  # nor is it sent any more
        assert sent(bare, feeder) == []
        assert not task.is_reserved
        bare.see_to(feeder, last)
        assert feeder.executor.instance not in bare.scheduler.holdings

    def test_at_a_hasty_end_as_well(self, bare, feeder, task):
        bare.see_to(feeder, last)
        assert (task.state, task.instance) == ("queued", "")
        assert feeder.executor.instance not in bare.scheduler.holdings

    def test_a_relay_that_dies_leaves_it_to_others(self, bare, sends, feeder, task):
        other = sends()
        dead = feeder.executor.instance
        bare.see_to(other, lambda look: rescue_all(look, {dead}))
        assert dead not in bare.scheduler.holdings
        del bare.connection.root()["collective.background.instances"][dead]
        bare.manager.commit()
        bare.manager.begin()
        assert sent(bare, other) == [task]
        assert (task.fence, task.is_marked) == (3, False)

    def test_it_still_waits_as_far_as_is_counted(self, bare, feeder):
        bare.see_to(feeder, usual)
        feeder.count_at = 0.0
        bare.see_to(feeder, usual)
        assert feeder.waiting_by_queue["default"] == 1


def test_who_sends_owns_the_shards_of_its_queues(sends, bare, works):
    """Workers look for nothing, so they own none."""
    works(default=100)
    feeders = [sends(), sends(role="web")]
    found = []
    for feeder in feeders:
        sent(bare, feeder)
        found.append(feeder.own["default"])
    assert not found[0] & found[1]
    assert len(found[0] | found[1]) == 64
    assert min(map(len, found)) == 32


def test_two_sites_share_what_a_process_may_send(works, bare, sends):
    works(default=2)
    for _ in range(10):
        bare.add()
    feeder = sends()
    feeder.executor.relay.unclaimed = lambda queue, besides: 3  # of another site
    assert len(sent(bare, feeder)) == 1


class TestInEarnest:
    """With the relay's thread, and the broker of Celery for tests."""

    @pytest.fixture
    def broker(self, site, settings):
        """To be used before ``persistent_site``."""
        settings(celery_broker=BROKER)
        yield
        # Not before the feeder has stopped, which may have something there.
        process_executor().relay = None

    @pytest.fixture
    def relay(self, broker, persistent_site):
        executor = process_executor()
        relay = Relay(executor, Sender(executor.settings))
        relay.start()
        yield relay
        relay.stop()
        relay.leave(Deadline(TIMEOUT))
        executor.forget(relay)

    @pytest.fixture
    def worker(self, scheduler):
        until(lambda: instances_for(scheduler))  # two that are the first ones conflict
        return Another(role=CELERY, slots={"default": 1}).joins()

    def test_what_is_scheduled_comes_to_a_worker(self, relay, worker, scheduler):
        task_id = schedule(len, "abc")
        transaction.commit()
        payload = received()
        stored = scheduler.shards.find(payload["task"])
        assert stored.id == task_id
        assert payload["fence"] == stored.fence
        assert payload["scheduler"] == scheduler._p_oid.hex()
        assert payload["site"] == "/".join(getSite().getPhysicalPath())
        assert scheduler.record(task_id).state == "queued"
        sent = {queue.name: queue.sent for queue in scheduler.queues()}
        assert sent == {"default": 1, "mail": 0}
        stored.hand_over(worker.id)
        transaction.commit()
        until(lambda: not relay.backlog())
        until(lambda: not any(h and h.tasks for h in scheduler.holdings.values()))
        assert stored.instance == worker.id
        stored.release()
        scheduler.cancel(task_id)
        transaction.commit()

    def test_others_learn_who_sends(self, relay, worker, scheduler, persistent_site):
        transaction.commit()

        def me():
            return instances_for(scheduler).get(relay._executor.instance)

        until(lambda: me() and me().relays)
        assert me().relays == ("default", "mail")
        [status] = [each for each in scheduler.instances() if each.role != CELERY]
        assert (status.relays, status.cut_off) == (("default", "mail"), False)
        assert not scheduler.lines().is_cut_off("default")
        relay._sender.connect = partial(_raise, ConnectionError("nobody listens"))
        relay.send(SimpleNamespace(held=Held(None, "mail"), failed=lambda: None))
        until(lambda: me().is_cut_off)
        assert scheduler.lines().is_cut_off("default")
        assert [queue.cut_off for queue in scheduler.queues()] == [True, True]
        task_id = schedule(len, "abc")
        transaction.commit()
        record = scheduler.record(task_id)
        assert translate(Reasons().of(record)) == "the workers cannot be reached"
        assert scheduler.cancel(task_id).state == "cancelled"
        transaction.commit()
