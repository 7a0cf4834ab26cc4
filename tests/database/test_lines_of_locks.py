"""Which of the tasks in the lines of locks may be taken, with several instances."""

from collections import Counter
from collective.background.database.lines import by_priority
from collective.background.database.locks import Lines
from collective.background.database.locks import Locks
from collective.background.database.standing import Stand
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from itertools import islice
from types import SimpleNamespace


INSTANCES = ("a", "b", "c")
QUEUES = ("default", "imports")
AHEAD = 3
THREADS = SimpleNamespace(ahead_of_a_lock=AHEAD, is_sent=False)  # an outlet
WORKERS = SimpleNamespace(ahead_of_a_lock=1, is_sent=True)

TASKS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(["erp", "/a", "/a/b"]), min_size=1),
        st.integers(min_value=-1, max_value=1),
        st.sampled_from(QUEUES),
    ),
    max_size=12,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("takes"), st.sampled_from(INSTANCES), st.integers(1, 3)),
        st.tuples(st.just("ends"), st.sampled_from(INSTANCES), st.integers(0, 9)),
        st.tuples(st.just("gives back"), st.sampled_from(INSTANCES), st.integers(0, 9)),
        st.tuples(st.just("dies"), st.sampled_from(INSTANCES), st.just(0)),
        st.tuples(st.just("is cancelled"), st.just(""), st.integers(0, 9)),
    ),
    max_size=40,
)


class Cluster:
    """Tasks that wait, and what each instance has of them."""

    def __init__(self, tasks):
        self.waiting = [
            Stand(queue, -priority, number, "", "", tuple(sorted(locks)))
            for number, (locks, priority, queue) in enumerate(tasks)
        ]
        self.waiting.sort(key=lambda each: each[1:3])
        self.reserved = {instance: [] for instance in INSTANCES}

    def line(self, lock):
        return [each for each in self.waiting if lock in each.locks]

    def locks_of(self, instance):
        return {lock for each in self.reserved[instance] for lock in each.locks}

    def takes(self, instance, room):
        others = [self.locks_of(other) for other in INSTANCES if other != instance]
        mine = [lock for each in self.reserved[instance] for lock in each.locks]
        lines = make_lines(self.line, Locks(set().union(*others), mine))
        for lock in ("erp", "/a", "/a/b"):
            lines.look_at(lock)
        for queue in QUEUES:
            for taken in islice(take(lines, queue), room):
                (taken,) = (each for each in self.waiting if each.number == taken)
                assert all(self.line(lock)[0] is taken for lock in taken.locks)
                self.waiting.remove(taken)
                self.reserved[instance].append(taken)
                self.check()

    def ends(self, instance, number):
        """The first one of a lock is at work."""
        reserved = self.reserved[instance]
        if reserved:
            reserved.remove(reserved[number % len(reserved)])

    def gives_back(self, instance, number):
        reserved = self.reserved[instance]
        if reserved:
            given = reserved[number % len(reserved)]
            reserved.remove(given)
            self.waiting.append(given)
            self.waiting.sort(key=lambda each: each[1:3])

    def dies(self, instance, _):
        while self.reserved[instance]:
            self.gives_back(instance, 0)

    def is_cancelled(self, _, number):
        if self.waiting:
            del self.waiting[number % len(self.waiting)]

    def check(self):
        held = Counter(lock for each in INSTANCES for lock in self.locks_of(each))
        assert max(held.values(), default=1) == 1
        for instance in INSTANCES:
            mine = Counter(lock for t in self.reserved[instance] for lock in t.locks)
            assert max(mine.values(), default=0) <= AHEAD


@settings(max_examples=100, deadline=None)
@given(tasks=TASKS, steps=STEPS)
def test_any_schedule(tasks, steps):
    """A lock is at one instance; who is taken is the first in all lines; none stuck."""
    cluster = Cluster(tasks)
    for name, instance, number in steps:
        getattr(cluster, name.replace(" ", "_"))(instance, number)
    while cluster.waiting:
        for instance in INSTANCES:
            cluster.reserved[instance].clear()
        before = len(cluster.waiting)
        cluster.takes("a", 1)
        assert len(cluster.waiting) < before


def make_lines(line, locks, outlets=None):
    return Lines(
        read=lambda lock: iter([(each, each.number) for each in line(lock)]),
        locks=lambda: locks,
        outlets=outlets or dict.fromkeys(QUEUES, THREADS),
        is_own=lambda stand: True,
    )


def take(lines, queue):
    """Yield the tasks that may be taken, as they are taken."""
    taken = set()
    places = [lines.own]
    while found := [t for n, t in by_priority(places, queue) if n not in taken]:
        taken.add(found[0])
        yield found[0]
        lines.took(found[0])


def lines_of(*waiting, others=()):
    def line(lock):
        return [each for each in waiting if lock in each.locks]

    lines = make_lines(line, Locks(set(others), []))
    for lock in sorted({lock for each in waiting for lock in each.locks}):
        lines.look_at(lock)
    return lines


def waiting(number, *locks, queue="default"):
    return Stand(queue, 0, number, "", "", locks)


class TestSeveralLocks:
    def test_who_is_not_the_first_everywhere_holds_up_those_behind(self):
        """Or they would pass him again and again."""
        lines = lines_of(
            *(waiting(1, "a"), waiting(2, "a", "b"), waiting(3, "b")), others=["a"]
        )
        assert list(take(lines, "default")) == []

    def test_no_lock_is_kept_by_one_that_waits_for_another(self):
        lines = lines_of(waiting(1, "a"), waiting(2, "a", "b"), waiting(3, "b"))
        assert list(take(lines, "default")) == [1]

    def test_what_comes_next_is_taken_with_the_same_locks(self):
        lines = lines_of(waiting(1, "a", "b"), waiting(2, "b"), waiting(3, "a", "b"))
        assert list(take(lines, "default")) == [1, 2, 3]


def test_one_of_another_queue_holds_up_those_behind():
    lines = lines_of(waiting(1, "a", queue="imports"), waiting(2, "a"))
    assert list(take(lines, "default")) == []
    assert list(take(lines, "imports")) == [1]
    assert list(take(lines, "default")) == [2]


def test_a_line_is_read_no_further_than_something_is_taken():
    read = []

    def line(lock):
        for number in range(1000):
            read.append(number)
            yield waiting(number, lock), number

    locks = Locks(set(), [])
    lines = Lines(line, lambda: locks, {"default": THREADS}, lambda _: True)
    lines.look_at("erp")
    assert list(take(lines, "default")) == [0, 1, 2]
    assert len(read) == AHEAD + 1


def test_behind_what_is_sent_nobody_starts_before_it_has_ended():
    """A thread here does not know when a worker begins."""
    tasks = [waiting(1, "a", queue="imports"), waiting(2, "a"), waiting(3, "b")]
    outlets = {"imports": WORKERS, "default": THREADS}
    lines = make_lines(
        lambda lock: [task for task in tasks if lock in task.locks],
        Locks(set(), []),
        outlets,
    )
    for lock in ("a", "b"):
        lines.look_at(lock)
    assert list(take(lines, "imports")) == [1]
    assert list(take(lines, "default")) == [3]
