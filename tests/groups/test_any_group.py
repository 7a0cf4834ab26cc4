"""Groups, callbacks, ``after``, retry, cancelling and forgetting in any order.

Compared with a model. What starts is what the test wants to start, in its own thread.
"""

from collections import Counter
from collective.background import group
from collective.background import using
from collective.background.database.lines import by_priority
from collective.background.database.scheduler import PersistentTransactionalScheduler
from collective.background.database.settling import News
from collective.background.database.settling import settle
from collective.background.exceptions import IllegalTransition
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.scheduler import TransactionalScheduler
from collective.background.memory.threads import TaskThreads
from collective.background.model.config import Settings
from collective.background.model.states import FAILED
from collective.background.model.states import SUCCEEDED
from collective.background.running import outcome
from collective.background.scheduling.endings import state_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant
from hypothesis.stateful import precondition
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
from model import Member
from model import Model
from ZODB import DB
from zope.component import getGlobalSiteManager

import logging
import pytest
import transaction


ANY = st.integers(min_value=0, max_value=1000)
fails = False  # whether the next task that runs is to fail
told = Counter()


def work():
    if fails:
        raise ValueError("no")


def succeeded(record):
    told[record.id, True] += 1


def failed(record):
    told[record.id, False] += 1


TELL = {"on_success": succeeded, "on_failure": failed}


class WaitingThreads(TaskThreads):
    """Threads that do not start. ``waiting``: the tasks that could, by their id."""

    def __init__(self, lifecycle):
        super().__init__(lifecycle)
        self.waiting = {}

    def start(self, task):
        if self._lifecycle.unfinished.is_waiting(task):
            self.waiting[task.id] = task

    def withdraw(self, task):
        self.waiting.pop(task.id, None)


class MemoryScheduler(TransactionalScheduler):
    THREADS_FACTORY = WaitingThreads


class Memory:
    """A scheduler in memory, and how its tasks run."""

    def __init__(self):
        self.scheduler = MemoryScheduler(settings=Settings())
        self._threads = self.scheduler.lifecycle.threads

    def close(self):
        """Nothing is left."""

    def startable(self):
        return {id: task.callable for id, task in self._threads.waiting.items()}

    def run(self, id):
        self._threads.run(self._threads.waiting.pop(id))


class Database:
    """The same in a database of its own; its tasks end as a look would settle it."""

    def __init__(self):
        self._database = DB(None)
        self.scheduler = PersistentTransactionalScheduler()
        self._connection = self._database.open()
        self._connection.root()["scheduler"] = self.scheduler
        transaction.commit()

    def close(self):
        self._database.close()

    def startable(self):
        transaction.begin()
        line = by_priority(self.scheduler.shards, "default")
        return {task.id: task.callable for _, task in line}

    def run(self, id):
        stored = self.scheduler.shards.find(id)
        ended = outcome.succeeded(None)
        function = CALLBACKS.get(stored.callable)
        if function is not None:
            function(*stored.body.call.extra)
        elif fails:
            ended = outcome.failed(ValueError("no"))
        self.scheduler.shards.leave(stored)
        stored.end(ended)
        settle(self.scheduler, stored, News())
        transaction.commit()


CALLBACKS = {f"{__name__}.{each.__name__}": each for each in (succeeded, failed)}


class GroupMachine(RuleBasedStateMachine):
    """``tier``: what is tested; ``model``: what is right; ``seen``: all ids so far."""

    tier_class = None

    def __init__(self):
        super().__init__()
        transaction.abort()
        told.clear()
        self.tier = self.tier_class()
        self.scheduler = self.tier.scheduler
        self.model = Model()
        self.seen = set()
        self._components = getGlobalSiteManager()
        self._usual = self._components.queryUtility(ITransactionalScheduler)
        self._components.registerUtility(self.scheduler, ITransactionalScheduler)

    def teardown(self):
        transaction.abort()
        self._components.unregisterUtility(provided=ITransactionalScheduler)
        if self._usual is not None:
            self._components.registerUtility(self._usual, ITransactionalScheduler)
        self.tier.close()

    def any(self, number):
        """Return some Member."""
        return list(self.model.known.values())[number % len(self.model.known)]

    def has_some(self):
        return bool(self.model.known)

    # What is scheduled.

    def schedule(self, above, after):
        """Schedule a task after some Member that has not come to nothing, if any."""
        ids = [after.id] if after is not None else []
        id = using(after=ids, **TELL).schedule(work)
        missing = [] if after is None or after.ending == SUCCEEDED else ids
        self.model.add(Member(id, above, missing))
        return id

    def commit(self, *groups):
        """``groups``: that were opened, as Members, the inner ones first."""
        transaction.commit()
        for member in list(self.model.known.values()):
            if member.members is None:
                self.model.line_up(member)
        for member in groups:
            self.model.end_whole(member)

    @rule(number=ANY, has_after=st.booleans())
    def schedule_one(self, number, has_after):
        after = self.any(number) if has_after and self.model.known else None
        self.schedule(None, after)
        self.commit()

    @rule(
        number=ANY,
        has_after=st.booleans(),
        outside=st.integers(0, 2),
        inside=st.none() | st.integers(0, 2),
        ordered=st.booleans(),
    )
    def schedule_group(self, number, has_after, outside, inside, ordered):
        """A group of some tasks, the first of which may be after something else.

        With another group in it, or none.
        """
        after = self.any(number) if has_after and self.model.known else None
        groups = []
        with group(ordered=ordered, **TELL) as whole:
            outer = Member(whole.id, members=[])
            self.model.add(outer)
            groups.append(outer)
            if inside is not None:
                with group(**TELL) as within:
                    inner = Member(within.id, outer, members=[])
                    self.model.add(inner)
                    groups.insert(0, inner)
                    for _ in range(inside):
                        self.schedule(inner, after)
            before = groups[0] if ordered and inside is not None else None
            for _ in range(outside):
                id = self.schedule(outer, after)
                if before is not None:
                    self.model.known[id].missing.add(before.id)
                before = self.model.known[id] if ordered else None
        self.commit(*groups)

    # What is done.

    @precondition(lambda self: self.model.startable())
    @rule(number=ANY, is_failure=st.booleans())
    def run(self, number, is_failure):
        global fails
        ids = sorted(self.model.startable(), key=list(self.model.known).index)
        id = ids[number % len(ids)]
        fails = is_failure
        self.tier.run(id)
        self.model.end(self.model.known[id], FAILED if is_failure else SUCCEEDED)

    @precondition(has_some)
    @rule(number=ANY)
    def cancel(self, number):
        member = self.any(number)
        self.scheduler.cancel(member.id)
        self.model.cancel(member)

    @precondition(has_some)
    @rule(number=ANY)
    def retry(self, number):
        member = self.any(number)
        if self.model.retry(member):
            self.scheduler.retry(member.id)
        else:
            with pytest.raises(IllegalTransition):
                self.scheduler.retry(member.id)

    @precondition(has_some)
    @rule(number=ANY)
    def remove(self, number):
        member = self.any(number)
        self.scheduler.remove(member.id)
        self.model.remove(member)

    @precondition(has_some)
    @rule(number=ANY)
    def read_result(self, number):
        member = self.any(number)
        transaction.begin()
        found = self.scheduler.get_result(member.id)
        transaction.commit()
        assert (found is False) == (member.ending is None)
        if member.ending is not None:
            self.model.remove(member)

    # What is right.

    @invariant()
    def callbacks_have_run(self):
        for id, name in self.tier.startable().items():
            if name in CALLBACKS:
                self.tier.run(id)
        assert told == +self.model.told

    @invariant()
    def what_is_to_start_can_start(self):
        found = self.tier.startable().items()
        assert {id for id, name in found if name not in CALLBACKS} == (
            self.model.startable()
        )

    @invariant()
    def records_are_right(self):
        transaction.begin()
        for member in self.model.known.values():
            record = self.scheduler.record(member.id)
            assert record is not None
            if member.ending is not None:
                assert record.state == state_of(member.ending)
            else:
                assert record.finished is None
            if member.members is not None:
                done = record.progress.done, record.progress.total
                assert done == (member.ended.total(), member.total)

    @invariant()
    def nothing_else_is_kept(self):
        self.seen |= set(self.model.known)
        for id in self.seen - set(self.model.known):
            assert self.scheduler.record(id) is None
        names = {f"{__name__}.work"}
        found = [r for r in self.scheduler.records(limit=None) if r.callable in names]
        tasks = [each for each in self.model.known.values() if each.members is None]
        assert {record.id for record in found} == {task.id for task in tasks}


class MemoryMachine(GroupMachine):
    tier_class = Memory


class DatabaseMachine(GroupMachine):
    tier_class = Database


BOUNDS = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
)


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Each failure would be logged, with its traceback."""
    caplog.set_level(logging.CRITICAL, "collective.background")


TestMemory = MemoryMachine.TestCase
TestMemory.settings = BOUNDS
TestDatabase = DatabaseMachine.TestCase
TestDatabase.settings = BOUNDS
