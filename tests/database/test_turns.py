"""Who is next in a queue: turns of users, within an instance and among several ones."""

from bare import Bare
from collections import Counter
from collective.background.database import due
from collective.background.database import reserving
from collective.background.database import stealing
from collective.background.database.instances import add_instance
from collective.background.database.instances import Instance
from collective.background.database.instances import instance_of
from collective.background.database.instances import remove_instance
from collective.background.database.look import Look
from collective.background.database.outbox import at_hand
from collective.background.database.owning import owned
from collective.background.database.owning import owners_of
from collective.background.database.rescue import rescue_all
from collective.background.database.shard import new_id
from collective.background.database.shard import SHARDS
from collective.background.database.turns import Turns
from collective.background.executing.queues import AGEING
from functools import partial
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from itertools import pairwise

import pytest


class Cluster(Bare):
    """Several instances of two slots; each of them may die."""

    def __init__(self):
        super().__init__()
        self.feeders = []
        self.runs = []  # (task, feeder) in the order of their reservations

    def join(self):
        feeder = self.feeder(concurrency=2)
        slots = feeder.settings.queues
        add_instance(self.connection, Instance(feeder.executor.instance, "all", slots))
        self.feeders.append(feeder)
        return feeder

    def add_of(self, user, priority=0, eta=None):
        """Schedule a task of a user, in a transaction and a shard of its own."""
        stored = self.add(priority=priority, eta=eta)
        shards = self.scheduler.shards
        shards.leave(stored)
        stored.user_id = user
        shards.wait(stored)
        self.manager.commit()
        self.manager.begin()
        return stored

    def reserve(self, feeder):
        """Reserve what a look reserves; return the StoredTasks."""
        before = set(feeder.held)
        self.see_to(feeder, Look.reserve)
        new = [id for id in feeder.held if id not in before]
        tasks = [self.scheduler.shards.find(id) for id in new]
        self.runs += [(task, feeder) for task in tasks]
        return tasks

    def end(self, feeder):
        """Let all that an instance has end."""
        for held in list(feeder.held.values()):
            self.scheduler.shards.leave(self.scheduler.shards.find(held.claim.id))
            self.see_to(feeder, partial(Look.drop, held=held))

    def die(self, feeder):
        """What it has is rescued by another one."""
        self.feeders.remove(feeder)
        feeder.held.clear()
        remove_instance(self.connection, feeder.executor.instance)
        dead = {feeder.executor.instance}
        self.see_to(self.feeders[0], lambda look: rescue_all(look, dead))

    def holders(self, task):
        return [feeder for feeder in self.feeders if task.id in feeder.held]


@pytest.fixture
def at_once(monkeypatch):
    """Nothing is left to the owner of its shard for some time."""
    monkeypatch.setattr(stealing, "GRACE", 0.0)


USERS = st.sampled_from(["ann", "bob", "cid", "dan"])
PRIORITIES = st.integers(min_value=0, max_value=1)


def expected_order(tasks):
    """Return tasks in the order of their turns, by a plain reading of the rule."""
    left, order, last = list(tasks), [], {}
    while left:
        if len(order) % AGEING == AGEING - 1:
            task = min(left, key=lambda task: task.number)
        else:
            first = max(task.priority for task in left)
            lanes = [task for task in left if task.priority == first]
            users = sorted({task.user_id for task in lanes})
            later = [user for user in users if user > last.get(first, "")]
            user = last[first] = (later or users)[0]
            mine = [task for task in lanes if task.user_id == user]
            task = min(mine, key=lambda task: task.number)
        left.remove(task)
        order.append(task)
    return order


class TestOneInstance:
    @settings(max_examples=20, deadline=None)
    @given(wanted=st.lists(st.tuples(USERS, PRIORITIES), max_size=30))
    def test_in_the_order_of_the_rule(self, wanted):
        """Also across looks, each of which takes a few."""
        cluster = Cluster()
        feeder = cluster.join()
        tasks = [cluster.add_of(*options) for options in wanted]
        while cluster.reserve(feeder):
            cluster.end(feeder)
        assert [task for task, _ in cluster.runs] == expected_order(tasks)
        cluster.close()

    def test_who_has_many_keeps_nobody_waiting(self):
        cluster = Cluster()
        feeder = cluster.join()
        for _ in range(20):
            cluster.add_of("ann")
        late = cluster.add_of("bob")
        assert late in cluster.reserve(feeder)
        cluster.close()

    def test_a_turn_is_taken_with_the_commit_only(self, bare):
        """Who has lost a conflict has lost no turn."""
        bare.add()
        feeder = bare.feeder()
        look = bare.look(feeder)
        look.reserve()
        assert feeder.turns == {}
        for function in look.then:
            function()
        assert isinstance(feeder.turns["default"], Turns)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), USERS, PRIORITIES, st.sampled_from([None, -60])),
        st.tuples(st.just("reserve"), st.integers(0, 2)),
        st.tuples(st.just("end"), st.integers(0, 2)),
        st.tuples(st.just("die"), st.integers(0, 2)),
        st.tuples(st.just("join")),
    ),
    max_size=40,
)


class TestSeveralInstances:
    @settings(max_examples=20, deadline=None)
    @given(operations=OPERATIONS)
    def test_each_task_has_one_instance_and_nobody_starves(self, operations):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stealing, "GRACE", 0.0)
            self.check(operations)

    def check(self, operations):
        cluster = Cluster()
        tasks, rescued = [], 0
        for _ in range(3):
            cluster.join()
        for name, *arguments in operations:
            if name == "add":
                tasks.append(cluster.add_of(*arguments))
            elif name == "join":
                cluster.join()
            else:
                feeder = cluster.feeders[arguments[0] % len(cluster.feeders)]
                if name == "die":
                    if len(cluster.feeders) == 1:
                        continue
                    rescued += len(feeder.held)
                getattr(cluster, name)(feeder)
            for task in tasks:
                assert len(cluster.holders(task)) <= 1
        # Whoever is left does all of it, though each looks at most as often as needed.
        for _ in range(len(tasks) + 1):
            for feeder in cluster.feeders:
                cluster.end(feeder)
                cluster.reserve(feeder)
        runs = Counter(task.id for task, _ in cluster.runs)
        assert set(runs) == {task.id for task in tasks}
        assert sum(runs.values()) == len(tasks) + rescued
        cluster.close()

    @settings(max_examples=10, deadline=None)
    @given(wanted=st.lists(st.tuples(USERS, PRIORITIES), min_size=10, max_size=40))
    def test_first_come_first_served_of_each_user(self, wanted):
        """Within an instance: of what is its own."""
        cluster = Cluster()
        feeders = [cluster.join() for _ in range(2)]
        for options in wanted:
            cluster.add_of(*options)
        for _ in wanted:
            for feeder in feeders:
                cluster.reserve(feeder)
                cluster.end(feeder)
        for feeder in feeders:
            own = owned(cluster.look(feeder), "default")
            mine = [
                task
                for task, runner in cluster.runs
                if runner is feeder and int(task.id[:2], 16) in own
            ]
            for user, priority in set(wanted):
                numbers = [
                    task.number
                    for task in mine
                    if (task.user_id, task.priority) == (user, priority)
                ]
                assert numbers == sorted(numbers)
        cluster.close()

    def test_what_has_just_come_is_left_to_its_owner(self, monkeypatch):
        monkeypatch.setattr(stealing, "GRACE", 600.0)
        cluster = Cluster()
        feeders = [cluster.join() for _ in range(2)]
        task = cluster.add_of("ann")
        other, owner = sorted(
            feeders,
            key=lambda feeder: int(task.id[:2], 16) in owned(cluster.look(feeder)),
        )
        assert cluster.reserve(other) == []
        assert cluster.reserve(owner) == [task]
        cluster.close()

    @pytest.mark.usefixtures("at_once")
    @pytest.mark.parametrize("waiting, stolen", [(1, 1), (3, 2), (100, 16)])
    def test_who_is_idle_takes_of_what_others_have(self, waiting, stolen):
        """As much as it can run at once; but half of many, if they are short."""
        cluster = Cluster()
        thief, owner = cluster.join(), cluster.join()
        thief.durations["default"] = 1 / 16
        shards = owned(cluster.look(owner), "default")
        tasks = []
        while len(tasks) < waiting:
            task = cluster.add_of("ann")
            if int(task.id[:2], 16) in shards:
                tasks.append(task)
            else:
                cluster.scheduler.shards.leave(task)
        found = cluster.reserve(thief)
        assert len(found) == stolen
        assert found == sorted(found, key=lambda task: task.number)
        if waiting > 3:
            assert not set(found) & set(cluster.reserve(owner))
        cluster.close()


class TestElders:
    """Old tasks of an instance whose slots are taken for long, while all are busy."""

    @pytest.fixture
    def cluster(self, monkeypatch):
        monkeypatch.setattr(reserving, "LONG", 0.0)
        cluster = Cluster()
        yield cluster
        cluster.close()

    def add_in(self, cluster, feeder, count):
        """Schedule tasks in the shards of a feeder; return them."""
        shards = owned(cluster.look(feeder), "default")
        tasks = []
        while len(tasks) < count:
            task = cluster.add_of("ann")
            if int(task.id[:2], 16) in shards:
                tasks.append(task)
            else:
                cluster.scheduler.shards.leave(task)
        return tasks

    def run_all(self, cluster, feeder):
        """Let one instance run until it finds nothing; return the tasks in order."""
        found = []
        while new := cluster.reserve(feeder):
            found += new
            cluster.end(feeder)
        return found

    def test_are_the_tenth_of_others(self, cluster):
        busy, owner = cluster.join(), cluster.join()
        (old,) = self.add_in(cluster, owner, 1)
        self.add_in(cluster, busy, 2 * AGEING)
        assert self.run_all(cluster, busy).index(old) == AGEING - 1

    def test_are_left_to_their_owner_for_some_time(self, cluster, monkeypatch):
        monkeypatch.setattr(reserving, "LONG", 600.0)
        monkeypatch.setattr(stealing, "GRACE", 600.0)
        busy, owner = cluster.join(), cluster.join()
        (old,) = self.add_in(cluster, owner, 1)
        mine = self.add_in(cluster, busy, 2 * AGEING)
        assert self.run_all(cluster, busy) == mine
        assert cluster.reserve(owner) == [old]

    def test_are_looked_for_now_and_then(self, cluster, monkeypatch):
        """Not at each tenth task: it may load the lines of all others."""
        monkeypatch.setattr(reserving, "ELDERS", 600.0)
        monkeypatch.setattr(stealing, "GRACE", 600.0)
        busy, owner = cluster.join(), cluster.join()
        old = self.add_in(cluster, owner, 3)
        self.add_in(cluster, busy, 4 * AGEING)
        assert set(self.run_all(cluster, busy)) & set(old) == {old[0]}

    def test_are_not_those_that_are_reserved(self, cluster, monkeypatch):
        monkeypatch.setattr(stealing, "GRACE", 600.0)
        busy, owner = cluster.join(), cluster.join()
        self.add_in(cluster, owner, 2)
        taken = cluster.reserve(owner)
        mine = self.add_in(cluster, busy, 2 * AGEING)
        assert taken
        assert not set(self.run_all(cluster, busy)) & set(taken)
        assert {task for task, _ in cluster.runs} == {*taken, *mine}


class TestOwners:
    @given(
        slots=st.dictionaries(
            st.text(min_size=1), st.integers(1, 8), min_size=1, max_size=8
        )
    )
    def test_have_their_share_of_all_slots(self, slots):
        owners = Counter(owners_of(slots))
        assert owners.total() == SHARDS
        for id, count in slots.items():
            assert owners[id] <= SHARDS * count / sum(slots.values()) + 1

    def test_are_those_that_go_on(self):
        """Who waits for his tasks to end has no share of what waits."""
        cluster = Cluster()
        ends, other = cluster.join(), cluster.join()
        assert len(owned(cluster.look(other), "default")) == SHARDS / 2
        ends.is_stopping = True
        instance = instance_of(cluster.connection, ends.executor.instance)
        instance.is_draining = True
        assert owned(cluster.look(ends), "default") == frozenset()
        for queue in ("default", None):
            assert owned(cluster.look(other), queue) == frozenset(range(SHARDS))
        cluster.close()

    def test_stay_the_same_as_far_as_they_can(self):
        ids = [f"host:{number}" for number in range(6)]
        for before, after in pairwise(range(2, 6)):
            old = owners_of(dict.fromkeys(ids[:before], 2))
            new = owners_of(dict.fromkeys(ids[:after], 2))
            moved = sum(a != b for a, b in zip(old, new, strict=True))
            assert moved <= SHARDS / 2


class TestNewTasks:
    def test_are_at_hand_where_a_slot_is_idle(self):
        cluster = Cluster()
        feeder, _ = cluster.join(), cluster.join()
        assert at_hand(None, "default") == range(SHARDS)
        assert at_hand(feeder, "default") == range(SHARDS)  # it has not looked yet
        cluster.reserve(feeder)
        own = owned(cluster.look(feeder), "default")
        assert set(at_hand(feeder, "default")) == own
        assert at_hand(feeder, "a queue of others") == range(SHARDS)
        while feeder.executor.dispatcher.waiting("default", feeder) < 2:
            cluster.add_of("ann")
            cluster.reserve(feeder)
        assert at_hand(feeder, "default") == range(SHARDS)
        cluster.close()

    def test_have_a_shard_of_those(self, bare):
        assert int(new_id(bare.connection, (7,))[0][:2], 16) == 7


class TestDelayed:
    @pytest.mark.parametrize("late", [60.0, 6000.0])
    def test_come_into_line_by_their_owner(self, late, monkeypatch):
        """Or by whoever looks, if he has not seen to it for some time."""
        monkeypatch.setattr(due, "GRACE", 600.0)
        monkeypatch.setattr(stealing, "GRACE", 600.0)
        cluster = Cluster()
        feeders = [cluster.join() for _ in range(2)]
        task = cluster.add_of("ann", eta=-late)
        shard = cluster.scheduler.shards.of(task.id)
        other, owner = sorted(
            feeders,
            key=lambda feeder: int(task.id[:2], 16) in owned(cluster.look(feeder)),
        )
        for feeder in (other, owner):
            feeder.has_looked = True
        cluster.reserve(other)
        assert (len(shard.delayed) == 2) == (late > 600)
        assert cluster.reserve(owner) == [task]
        cluster.close()

    def test_are_nothing_to_an_instance_that_executes_nothing(self, bare):
        task = bare.add(eta=-60)
        bare.see_to(bare.feeder(role="web"), Look.reserve)
        assert len(bare.scheduler.shards.of(task.id).delayed) == 3

    def test_some_at_a_time(self, bare, monkeypatch):
        monkeypatch.setattr(due, "AT_ONCE", 5)
        tasks = [bare.add(eta=-60) for _ in range(8)]
        bare.manager.commit()
        feeder = bare.feeder()
        delayed = bare.scheduler.shards.of(tasks[0].id).delayed
        for left, has_more in ((3, True), (0, False)):
            look = bare.look(feeder)
            look.reserve()
            assert (len(delayed) - 2, look.has_more) == (left, has_more)
