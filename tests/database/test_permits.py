"""Locks and limits in the whole cluster: who may reserve what, and in which order."""

from bare import Bare
from collections import Counter
from collective.background.database import permits
from collective.background.database import stealing
from collective.background.database.changes import cancel
from collective.background.database.changes import retry
from collective.background.database.settling import News
from collective.background.executing.queues import Job
from collective.background.model import states
from contextlib import closing
from contextlib import ExitStack
from datetime import timedelta
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from members import Member
from time import monotonic

import pytest


LOCKS = ("erp", "/a", "/a/b")
LIMIT = 2
SETTINGS = {"queues": {"imports": 3}, "limits": {"imports": LIMIT}}


@pytest.fixture
def members(bare):
    return [Member(bare, **SETTINGS) for _ in range(2)]


@pytest.fixture
def member(bare):
    return Member(bare, **SETTINGS)


@pytest.fixture
def at_once(monkeypatch):
    """Who is idle leaves others no time. To be used before ``members``."""
    monkeypatch.setattr(stealing, "GRACE", 0.0)


def reserved(member):
    """Return the ids of what is reserved, in the order in which it would start."""
    return [held.claim.id for held in member.waits()]


def look(*members):
    """Return what all of them have reserved after a look."""
    for member in members:
        member.look()
    return [held for member in members for held in member.waits()]


def have_something(bare, *members):
    """Two that have nothing yet conflict."""
    for member in members:
        for _ in range(9):
            bare.add()
            bare.manager.commit()
            bare.manager.begin()
        member.look()
        assert member.waits()


def make_job(**given):
    values = {"id": object(), "queue": "default", "priority": 0, "run": None}
    return Job(**values, refused=None, **given)


def end_all(*members):
    """Look, and end what is at work, until nothing waits; return the ids in order."""
    ended = []
    while look(*members) or look(*members):
        for member in members:
            for held in at_work(member):
                member.ends(held)
                ended.append(held.claim.id)
    return ended


def at_work(member):
    """Return what its dispatcher lets start: one task of each lock."""
    started, taken = [], set()
    for held in member.waits():
        if taken.isdisjoint(held.job.locks):
            started.append(held)
        taken |= set(held.job.locks)
    return started


class TestLocks:
    def test_one_instance_has_a_lock(self, bare, members):
        for _ in range(6):
            bare.add(lock="erp")
        bare.manager.commit()
        for member in 2 * members:
            member.look()
        assert sorted(bool(member.waits()) for member in members) == [False, True]

    def test_two_that_take_it_at_the_same_moment_conflict(self, bare):
        """Though each takes another task: what one sees the other does not yet."""
        first, second = (Member(bare, queues={name: 1}) for name in ("one", "two"))
        have_something(bare, first, second)
        bare.add(lock="erp", queue="one")
        bare.manager.commit()
        first.begin()
        bare.manager.begin()
        bare.add(lock="erp", queue="two", priority=1)
        bare.manager.commit()
        second.begin()
        assert [first.commit(), second.commit()] == [True, False]

    def test_by_priority_and_age_however_many_instances(self, bare, members):
        tasks = [
            bare.add(lock="erp", priority=priority, queue=queue)
            for priority in (0, 1, 0, 2, 1, 0)
            for queue in ("default", "imports")
        ]
        bare.manager.commit()
        expected = sorted(tasks, key=lambda task: (-task.priority, task.number))
        expected = [task.id for task in expected]
        assert end_all(*members) == expected

    def test_a_task_that_waits_for_its_locks_leaves_room_for_others(self, bare, member):
        for _ in range(20):
            bare.add(lock="erp", priority=1)
        other = bare.add()
        bare.manager.commit()
        member.look()
        assert other.id in reserved(member)

    def test_also_if_it_waits_for_those_of_another_queue(self, bare):
        member = Member(bare, queues={"imports": 2}, concurrency=1)
        for lock in ("erp", "/a"):
            bare.add(lock=lock, queue="imports")
        bare.manager.commit()
        member.look()
        member.feeder.durations["default"] = 0.3
        bare.manager.begin()
        for lock in ("erp", "/a"):
            bare.add(lock=lock, priority=1)
        other = bare.add()
        bare.manager.commit()
        for _ in range(3):
            member.look()
        assert other.id in reserved(member)

    @pytest.mark.parametrize("how", ["succeeded", "failed"])
    def test_is_given_back_at_the_end(self, bare, members, how):
        first, second = members
        bare.add(lock="erp")
        bare.manager.commit()
        (first.look() and first.waits()) or second.look()
        has = next(member for member in members if member.waits())
        has.ends(has.waits()[0], how)
        has.look()
        assert has.uses() == []
        bare.manager.begin()
        bare.add(lock="erp")
        bare.manager.commit()
        end_all(*members)

    def test_is_given_back_by_who_dies(self, bare, members):
        first, second = members
        bare.add(lock="erp", rerun=True)
        bare.manager.commit()
        assert len(look(first, second)) == 1
        dead, alive = (first, second) if first.waits() else (second, first)
        dead.dies()
        alive.look(dead=[dead.id])
        alive.look()
        assert len(alive.waits()) == 1

    def test_who_is_put_off_stands_in_no_line(self, bare, member):
        first, second = bare.add(lock="erp"), bare.add(lock="erp")
        bare.manager.commit()
        member.look()
        member.ends(member.waits()[0], retry_in=3600)
        member.look()
        assert reserved(member) == [second.id]
        bare.manager.begin()
        assert bare.scheduler.shards.find(first.id).state == states.RETRYING

    @pytest.mark.parametrize("options", [{"eta": 3600}, {"queue": "imports"}])
    def test_who_is_delayed_or_paused_stands_in_no_line(self, bare, member, options):
        bare.scheduler.paused.add("imports")
        bare.add(lock="erp", priority=1, **options)
        second = bare.add(lock="erp")
        bare.manager.commit()
        member.look()
        assert reserved(member) == [second.id]

    def test_who_was_delayed_stands_in_line(self, bare, member):
        delayed = bare.add(lock=("erp", "/a"), eta=-1)
        behind = bare.add(lock="/a")
        bare.manager.commit()
        assert end_all(member) == [delayed.id, behind.id]

    def test_who_is_tried_again_stands_in_line(self, bare, member):
        stored = bare.add(lock="erp")
        bare.manager.commit()
        member.look()
        member.ends(member.waits()[0], "failed")
        member.look()
        bare.manager.begin()
        retry(bare.scheduler, stored.id, News(), lambda *_: None)
        bare.manager.commit()
        assert end_all(member) == [stored.id]

    def test_of_nobodys_queue_holds_up_nobody(self, bare, member):
        bare.add(lock="erp", queue="of-nobody")
        second = bare.add(lock="erp")
        bare.manager.commit()
        assert end_all(member) == [second.id]

    def test_who_is_idle_takes_those_of_one_that_does_not_look(
        self, bare, at_once, members
    ):
        tasks = {bare.add(lock=f"lock {number}").id for number in range(20)}
        bare.manager.commit()
        assert set(end_all(members[0])) == tasks

    def test_is_not_kept_where_other_sites_have_all_slots(self, bare, at_once, members):
        """Though a site that has nothing there stands in line with them."""
        first, second = members
        bare.add(lock="erp")
        bare.manager.commit()
        if not look(first):
            first, second = second, first
        look(first)
        queue = first.feeder.executor.dispatcher.queues["default"]
        queue.threads.update(make_job(source="another site") for _ in range(2))
        queue.started_at = monotonic() - 60
        look(first)
        assert first.waits() == []
        assert look(second)

    def test_all_of_many_are_looked_at(self, bare, member, monkeypatch):
        monkeypatch.setattr(permits, "LINES", 3)
        tasks = {bare.add(lock=f"lock {number}").id for number in range(20)}
        bare.manager.commit()
        assert set(end_all(member)) == tasks


class TestLimits:
    def test_in_all_instances_together(self, bare, members):
        for _ in range(10):
            bare.add(queue="imports")
        bare.manager.commit()
        for member in 2 * members:
            member.look()
        assert sum(len(member.waits()) for member in members) == LIMIT

    def test_two_that_take_one_at_the_same_moment_conflict(self, bare, members):
        have_something(bare, *members)
        for _ in range(40):
            bare.add(queue="imports")
            bare.manager.commit()
            bare.manager.begin()
        for member in members:
            member.begin()
        assert [member.commit() for member in members] == [True, False]

    def test_the_smallest_counts(self, bare):
        large = Member(bare, queues={"imports": 9}, limits={"imports": 5})
        Member(bare, limits={"imports": 1})
        for _ in range(10):
            bare.add(queue="imports")
        bare.manager.commit()
        large.look()
        assert len(large.waits()) == 1

    def test_who_waits_for_a_lock_does_not_count(self, bare, member):
        for _ in range(4):
            bare.add(queue="imports", lock="erp")
        other = bare.add(queue="imports")
        bare.manager.commit()
        member.look()
        assert len(reserved(member)) == LIMIT
        assert other.id in reserved(member)

    def test_one_by_priority_and_age_of_all(self, bare):
        settings = {"queues": {"imports": 1}, "limits": {"imports": 1}}
        members = [Member(bare, **settings) for _ in range(3)]
        tasks = []
        for number in range(30):
            tasks.append(bare.add(queue="imports", priority=number % 2))
            bare.manager.commit()
            bare.manager.begin()
        expected = sorted(tasks, key=lambda task: (-task.priority, task.number))
        assert end_all(*members) == [task.id for task in expected]

    @pytest.mark.parametrize("limits, steals", [({}, True), ({"imports": 1}, False)])
    def test_one_leaves_nothing_to_steal(self, bare, limits, steals):
        """Who has found nothing in it has looked at the shards of all."""
        settings = {"queues": {"imports": 1}, "limits": limits}
        member, _ = (Member(bare, **settings) for _ in range(2))
        bare.scheduler.paused.update(set(member.feeder.settings.queues) - {"imports"})
        bare.manager.commit()
        member.look()
        assert (member.feeder.stealing.next_at > 0) == steals


class TestCosts:
    """Of tasks that wait for ten locks, and of others."""

    def costs(self, number, **options):
        """Return (looks, loads, stores) until all of so many tasks have ended."""
        with closing(Bare()) as bare:
            member = Member(bare)
            for each in range(number):
                bare.add(**{name: value(each) for name, value in options.items()})
                if each % 10 == 9:
                    bare.manager.commit()
                    bare.manager.begin()
            member.feeder.durations["default"] = 0.3
            look(member)
            member.connection.getTransferCounts(True)
            looks = ended = 0
            while ended < number:
                for held in at_work(member)[:10]:
                    member.ends(held)
                    ended += 1
                assert member.look()
                looks += 1
            return looks, *member.connection.getTransferCounts(True)

    def test_are_the_same(self):
        looks, loads, stores = self.costs(100, lock=lambda each: f"lock {each % 10}")
        expected_looks, expected_loads, expected_stores = self.costs(100)
        assert looks == expected_looks
        assert loads <= expected_loads * 1.2
        assert stores <= expected_stores * 1.6  # two lines, instead of one and turns


TASKS = st.lists(
    st.fixed_dictionaries(
        {
            "lock": st.sets(st.sampled_from(LOCKS)).map(tuple),
            "priority": st.integers(min_value=-1, max_value=1),
            "queue": st.sampled_from(["default", "imports"]),
            "eta": st.sampled_from([None, None, -1, 3600]),
            "rerun": st.just(True),
        }
    ),
    min_size=1,
    max_size=4,
)
WHO = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("schedule"), TASKS),
        st.tuples(st.just("look"), WHO),
        st.tuples(st.just("look"), WHO),
        st.tuples(st.just("look_at_once"), st.permutations(range(3))),
        st.tuples(st.just("end"), WHO),
        st.tuples(st.just("end"), WHO),
        st.tuples(st.just("put_off"), WHO),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("pause"), st.sampled_from(["default", "imports"])),
        st.tuples(st.just("resume"), st.sampled_from(["default", "imports"])),
        st.tuples(st.just("die"), WHO),
        st.tuples(st.just("pass_time"), st.sampled_from([60, 3600])),
    ),
    max_size=30,
)


class Cluster:
    """Three instances, one of which may be another one after a death."""

    def __init__(self, bare):
        self.bare = bare
        self.passed = timedelta()
        self.members = [Member(bare, self, **SETTINGS) for _ in range(3)]
        self.tasks = []

    def now(self):
        """It is the clock, too."""
        return self.bare.clock.now() + self.passed

    def pass_time(self, seconds):
        self.passed += timedelta(seconds=seconds)

    def schedule(self, tasks):
        self.bare.manager.begin()
        self.tasks += [self.bare.add(**options).id for options in tasks]
        self.bare.manager.commit()

    def look(self, who):
        self.members[who].look()

    def look_at_once(self, order):
        """Each begins before another one has committed."""
        for member in self.members:
            member.begin()
        for who in order:
            self.members[who].commit()

    def end(self, who):
        for held in at_work(self.members[who])[:1]:
            self.members[who].ends(held)

    def put_off(self, who):
        for held in at_work(self.members[who])[:1]:
            self.members[who].ends(held, retry_in=3600)

    def cancel(self, which):
        self.bare.manager.begin()
        for id in self.tasks[which : which + 1]:
            cancel(self.bare.scheduler, id, News())
        self.bare.manager.commit()

    def pause(self, queue):
        self.bare.manager.begin()
        self.bare.scheduler.paused.add(queue)
        self.bare.manager.commit()

    def resume(self, queue):
        self.bare.manager.begin()
        self.bare.scheduler.paused.discard(queue)
        self.bare.manager.commit()

    def die(self, who):
        dead = self.members[who]
        dead.dies()
        self.members[who] = Member(self.bare, self, **SETTINGS)
        self.members[who - 1].look(dead=[dead.id])

    def check(self):
        used = [member.uses() for member in self.members]
        held = Counter(
            lock
            for uses in used
            for lock in {lock for _, locks in uses for lock in locks}
        )
        assert max(held.values(), default=1) == 1
        queues = Counter(queue for uses in used for queue, _ in uses)
        assert queues["imports"] <= LIMIT

    def left(self):
        self.bare.manager.begin()
        found = (self.bare.scheduler.shards.find(id) for id in self.tasks)
        return [
            task.id
            for task in found
            if task.state in states.WAITING
            and (task.eta is None or task.eta < self.now())
        ]


@settings(max_examples=30, deadline=None)
@given(steps=STEPS)
def test_any_schedule(steps):
    """Never is a lock at two instances, or more than the limit; nothing is stuck."""
    with ExitStack() as stack:
        bare = stack.enter_context(closing(Bare()))
        cluster = Cluster(bare)
        for name, argument in steps:
            getattr(cluster, name)(argument)
            cluster.check()
        cluster.resume("default")
        cluster.resume("imports")
        cluster.pass_time(10_000)
        for _ in range(20 + 2 * len(cluster.tasks)):
            if not cluster.left():
                break
            for who in range(3):
                cluster.look(who)
                for held in at_work(cluster.members[who]):
                    cluster.members[who].ends(held)
            cluster.check()
        assert cluster.left() == []
