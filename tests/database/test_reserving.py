"""Which tasks an instance takes of what waits, and how many."""

from bare import Bare
from collective.background.database import ahead
from collective.background.database import due
from collective.background.database import reserving
from collective.background.database import stealing
from collective.background.database.claims import Claim
from collective.background.database.holding import Held
from collective.background.database.instances import add_instance
from collective.background.database.instances import Holding
from collective.background.database.instances import Instance
from collective.background.database.look import Look
from collective.background.database.room import COUNTING
from collective.background.database.status import VERSION
from collective.background.executing.queues import AGEING
from collective.background.executing.queues import Job
from functools import partial
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from time import monotonic
from types import SimpleNamespace

import pytest


def chosen(look):
    """Return what would be reserved: {queue: StoredTasks}; as if that was committed."""
    due.put_in_line(look, everywhere=True)
    found = {queue: list(tasks) for queue, tasks in reserving.choose(look)}
    for function in look.then:
        function()
    return found


def reserve_all(bare, feeder):
    """Reserve again and again, and end what is reserved; return all, by queue.

    As if each task ended as soon as it is reserved.
    """
    order = {}
    while found := chosen(bare.look(feeder)):
        for queue, tasks in found.items():
            order.setdefault(queue, []).extend(tasks)
            for task in tasks:
                bare.scheduler.shards.leave(task)
    return order


def add_and_commit(bare, **options):
    """Schedule a task in a transaction of its own; return it."""
    task = bare.add(**options)
    bare.manager.commit()
    bare.manager.begin()
    return task


TASKS = st.lists(
    st.fixed_dictionaries(
        {
            "priority": st.integers(min_value=-1, max_value=1),
            "queue": st.sampled_from(["default", "mail", "paused"]),
            "eta": st.sampled_from([None, -60, 3600]),
        }
    ),
    max_size=AGEING - 1,  # more in another test
)


@pytest.fixture(scope="module")
def shared():
    bare = Bare()
    yield bare
    bare.close()


class TestOrder:
    @settings(max_examples=60, deadline=None)
    @given(wanted=TASKS)
    def test_by_priority_and_age(self, shared, wanted):
        """Across all shards; neither paused ones nor those that are not yet due."""
        feeder = shared.feeder(queues={"mail": 1, "paused": 1})
        shared.scheduler.paused.add("paused")
        tasks = [shared.add(**options) for options in wanted]
        order = reserve_all(shared, feeder)
        for queue in ("default", "mail"):
            expected = [
                task
                for task, options in zip(tasks, wanted, strict=True)
                if options["queue"] == queue and options["eta"] != 3600
            ]
            expected.sort(key=lambda task: (-task.priority, task.number))
            assert order.get(queue, []) == expected
        assert "paused" not in order
        shared.manager.abort()

    def test_every_tenth_is_the_oldest(self, bare):
        """So that nobody starves, however many important ones come."""
        old = bare.add(priority=-1)
        for _ in range(3 * AGEING):
            bare.add(priority=1)
        order = reserve_all(bare, bare.feeder(concurrency=1))["default"]
        assert order.index(old) < AGEING + 2

    def test_also_if_it_was_delayed(self, bare):
        old = bare.add(priority=-1, eta=-1)
        for _ in range(3 * AGEING):
            bare.add(priority=1)
        order = reserve_all(bare, bare.feeder(concurrency=1))["default"]
        assert order.index(old) < AGEING + 2


class TestNumber:
    def test_no_more_than_may_run_soon(self, bare):
        for _ in range(50):
            bare.add()
        feeder = bare.feeder(concurrency=2)
        assert len(chosen(bare.look(feeder))["default"]) == 4

    def test_more_if_they_are_short(self, bare):
        for _ in range(100):
            bare.add()
        feeder = bare.feeder(concurrency=2)
        feeder.durations["default"] = 0.001
        assert len(chosen(bare.look(feeder))["default"]) == ahead.MOST

    def test_none_ahead_if_they_are_long(self, bare):
        """Other instances may have a slot."""
        for _ in range(50):
            bare.add()
        feeder = bare.feeder(concurrency=2)
        feeder.durations["default"] = 60.0
        assert len(chosen(bare.look(feeder))["default"]) == 2

    @pytest.mark.parametrize("settings", [{"role": "web"}, {}])
    def test_nothing_by_one_that_executes_nothing(self, bare, settings):
        bare.add()
        feeder = bare.feeder(**settings)
        feeder.is_stopping = not settings
        assert chosen(bare.look(feeder)) == {}

    @pytest.mark.parametrize("eta", [None, -60])
    def test_nothing_is_loaded_that_does_not_start(self, bare, loaded, eta):
        bare.add(queue="other")
        for _ in range(1000):
            bare.add(eta=eta)
        bare.manager.commit()
        bare.connection.cacheMinimize()
        bare.manager.begin()
        feeder = bare.feeder(concurrency=2, queues={"other": 1})
        del loaded[:]
        found = chosen(bare.look(feeder))
        assert {queue: len(tasks) for queue, tasks in found.items()} == {
            "default": 4,
            "other": 1,
        }
        assert len(loaded) == 5


def test_one_that_the_same_look_has_scheduled(bare):
    """A callback: its thread is to find it in another connection."""
    stored = bare.add()
    feeder = bare.feeder()
    bare.see_to(feeder, Look.reserve)
    claim = feeder.held[stored.id].claim
    with bare.database.transaction() as connection:
        assert connection.get(claim.oid).fence == claim.fence


class TestSeveralInstances:
    @pytest.fixture
    def feeders(self, bare):
        feeders = [bare.feeder(concurrency=2) for _ in range(3)]
        for feeder in feeders:
            add_instance(
                bare.connection,
                Instance(feeder.executor.instance, "all", {"default": 2}),
            )
        return feeders

    def add_many(self, bare, number=200):
        """Schedule tasks in transactions of their own; return them."""
        return [add_and_commit(bare) for _ in range(number)]

    def test_do_not_take_the_same(self, bare, feeders):
        self.add_many(bare)
        taken = [chosen(bare.look(feeder))["default"] for feeder in feeders]
        assert [len(tasks) for tasks in taken] == [4, 4, 4]
        assert len({task for tasks in taken for task in tasks}) == 12

    def test_take_nearly_the_first_ones(self, bare, feeders):
        tasks = self.add_many(bare)
        for feeder in feeders:
            for task in chosen(bare.look(feeder))["default"]:
                assert tasks.index(task) < 50

    def test_take_what_others_leave(self, bare, feeders, monkeypatch):
        """One alone takes all of it in the end, though the others live."""
        monkeypatch.setattr(stealing, "GRACE", 0.0)
        self.add_many(bare, 20)
        assert len(reserve_all(bare, feeders[0])["default"]) == 20

    @pytest.fixture
    def alike(self, bare):
        """Two that have several queues."""
        feeders = [bare.feeder() for _ in range(2)]
        for feeder in feeders:
            slots = feeder.settings.queues
            made = Instance(feeder.executor.instance, "all", slots)
            add_instance(bare.connection, made)
        return feeders

    def test_take_what_others_leave_in_any_queue(self, bare, alike, monkeypatch):
        """That there is nothing in the first one keeps nobody from the next."""
        monkeypatch.setattr(stealing, "GRACE", 0.0)
        stored = add_and_commit(bare, queue="mail")
        for feeder in alike:  # whose it is, and the other one
            assert chosen(bare.look(feeder)) == {"mail": [stored]}

    def test_do_not_look_again_for_what_is_not_there(self, bare, alike):
        feeder = alike[0]
        feeder.has_looked = True
        look = bare.look(feeder)
        look.reserve()
        look.count()
        for function in look.then:
            function()
        assert feeder.look_at > monotonic() + COUNTING

    def test_know_who_has_the_queue(self, bare, feeders):
        bare.add(queue="mail")
        feeder = bare.feeder(queues={"mail": 1})
        assert len(chosen(bare.look(feeder))["mail"]) == 1


class TestMarked:
    """One that an instance may have died of."""

    def test_runs_alone(self, bare):
        marked = bare.add(rerun=True)
        marked.is_marked = True
        bare.add()
        bare.add(queue="mail")
        feeder = bare.feeder(queues={"mail": 1})
        assert chosen(bare.look(feeder)) == {"default": [marked]}
        hold(bare, feeder, marked)
        assert chosen(bare.look(feeder)) == {}

    def test_after_those_that_came_before(self, bare):
        first = bare.add()
        marked = bare.add(rerun=True)
        marked.is_marked = True
        feeder = bare.feeder()
        assert chosen(bare.look(feeder)) == {"default": [first]}
        held = hold(bare, feeder, first)
        assert chosen(bare.look(feeder)) == {}
        feeder.drop(held)
        bare.scheduler.shards.leave(first)
        assert chosen(bare.look(feeder)) == {"default": [marked]}

    def test_after_those_of_all_queues(self, bare):
        """None of them gets anything new meanwhile."""
        first = bare.add()
        marked = bare.add(queue="mail", rerun=True)
        marked.is_marked = True
        feeder = bare.feeder(queues={"mail": 1})
        held = hold(bare, feeder, first)
        bare.add()
        assert chosen(bare.look(feeder)) == {}
        feeder.drop(held)
        bare.scheduler.shards.leave(first)
        assert chosen(bare.look(feeder)) == {"mail": [marked]}

    @pytest.mark.parametrize("others", [1, 2])
    def test_keeps_its_turn_until_nothing_runs(self, bare, others):
        """However many come that are more important: so many for each that ends."""
        marked = bare.add(priority=-1, rerun=True)
        marked.is_marked = True
        feeder = bare.feeder(concurrency=1)
        for _ in range(3 * AGEING):
            for _ in range(others):
                bare.add(priority=1)
            bare.see_to(feeder, Look.reserve)
            held = next(iter(feeder.held.values()))
            if held.claim.is_marked:
                break
            bare.scheduler.shards.leave(bare.scheduler.shards.find(held.claim.id))
            bare.see_to(feeder, partial(Look.drop, held=held))
        assert list(feeder.held) == [marked.id]


def hold(bare, feeder, stored):
    """A feeder has reserved a task; return what it has of it."""
    holding = Holding(feeder.executor.instance)
    holding.tasks = {stored.id: (stored.fence, None, None)}
    bare.scheduler.holdings[holding.instance] = holding
    claim = Claim(
        id=stored.id,
        oid=stored._p_oid,
        fence=stored.fence,
        database_name="",
        is_marked=stored.is_marked,
    )
    held = feeder.held[stored.id] = Held(claim, stored.queue)
    return held


class TestSurplus:
    """What is reserved, though its turn does not come soon."""

    @pytest.fixture
    def feeder(self, bare):
        """It has one slot, which was given away long ago."""
        feeder = bare.feeder(concurrency=1)
        queue = feeder.executor.dispatcher.queues["default"]
        queue.started_at = monotonic() - 2 * ahead.LONG
        return feeder

    def hold(self, bare, feeder, priority=0, has_thread=False):
        held = hold(bare, feeder, bare.add())
        held.has_thread = has_thread
        held.job = SimpleNamespace(priority=priority)
        return held

    def test_is_what_waits_behind_long_tasks(self, bare, feeder):
        running = self.hold(bare, feeder, has_thread=True)
        waiting = [self.hold(bare, feeder) for _ in range(2)]
        bare.add()
        look = bare.look(feeder)
        assert ahead.find_surplus(look) == waiting
        assert chosen(look) == {}
        running.has_thread = False
        running.is_left = True
        assert ahead.find_surplus(look) == []

    def test_is_not_the_first_one_of_a_site_that_has_nothing_else(self, bare, feeder):
        """It stands in line with those of other sites."""
        queue = feeder.executor.dispatcher.queues["default"]
        queue.threads.add(
            Job(
                id="0",
                queue="default",
                priority=0,
                source="another site",
                run=None,
                refused=None,
            )
        )
        surplus = self.hold(bare, feeder)
        self.hold(bare, feeder, priority=1)
        look = bare.look(feeder)
        assert ahead.find_surplus(look) == [surplus]
        assert chosen(look) == {}

    def test_is_nothing_while_tasks_are_short(self, bare, feeder, monkeypatch):
        monkeypatch.setattr(ahead, "LONG", 3600.0)
        queue = feeder.executor.dispatcher.queues["default"]
        queue.started_at = monotonic()
        self.hold(bare, feeder, has_thread=True)
        self.hold(bare, feeder)
        assert ahead.find_surplus(bare.look(feeder)) == []


class TestVersions:
    def test_one_of_a_later_release_is_left_alone(self, bare):
        """To instances that know what it means."""
        newer = bare.add()
        newer.version = VERSION + 1
        older = bare.add()
        bare.manager.commit()
        bare.connection.cacheMinimize()
        feeder = bare.feeder(concurrency=1)
        assert chosen(bare.look(feeder)) == {"default": [older]}
        assert feeder.newer == {newer.number}
        assert chosen(bare.look(feeder)) == {"default": [older]}
