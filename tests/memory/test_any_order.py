"""Transactions, savepoints and control in any order, compared with a model.

The queue is paused, so that no thread starts and every run is the same.
"""

from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import QueueFull
from collective.background.memory.scheduler import TransactionalScheduler
from collective.background.model.config import Settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant
from hypothesis.stateful import precondition
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine

import pytest
import transaction


ROOM = 3
ANY = st.integers(min_value=0, max_value=20)


class SchedulerMachine(RuleBasedStateMachine):
    """``committed`` and ``pending``: {id: state}, in the order of scheduling.

    ``savepoints``: each with the ids that were pending then.
    """

    def __init__(self):
        super().__init__()
        transaction.abort()
        self.scheduler = TransactionalScheduler(settings=Settings(max_waiting=ROOM))
        self.scheduler.pause("default")
        self.committed = {}
        self.pending = {}
        self.savepoints = []

    def teardown(self):
        transaction.abort()

    def pick(self, number):
        """Return the id of some task, and where it is."""
        ids = [*self.committed, *self.pending]
        task_id = ids[number % len(ids)]
        return task_id, self.committed if task_id in self.committed else self.pending

    def waiting(self, tasks):
        return [task_id for task_id, state in tasks.items() if state == "queued"]

    def has_tasks(self):
        return bool(self.committed or self.pending)

    def end_transaction(self):
        self.pending = {}
        self.savepoints = []

    @rule()
    def schedule(self):
        self.pending[self.scheduler.schedule(int)] = "queued"

    @rule()
    def savepoint(self):
        self.savepoints.append((transaction.savepoint(), list(self.pending)))

    @precondition(lambda self: self.savepoints)
    @rule(number=ANY)
    def rollback(self, number):
        del self.savepoints[number % len(self.savepoints) + 1 :]
        savepoint, ids = self.savepoints[-1]
        savepoint.rollback()
        self.pending = {k: v for k, v in self.pending.items() if k in ids}

    @rule()
    def abort(self):
        transaction.abort()
        self.end_transaction()

    @rule()
    def commit(self):
        wanted = len(self.waiting(self.committed)) + len(self.waiting(self.pending))
        if wanted > ROOM:
            with pytest.raises(QueueFull):
                transaction.commit()
            transaction.abort()
        else:
            transaction.commit()
            self.committed.update(self.pending)
        self.end_transaction()

    @precondition(has_tasks)
    @rule(number=ANY)
    def cancel(self, number):
        task_id, tasks = self.pick(number)
        assert self.scheduler.cancel(task_id).state == "cancelled"
        tasks[task_id] = "cancelled"

    @precondition(has_tasks)
    @rule(number=ANY)
    def retry(self, number):
        task_id, tasks = self.pick(number)
        if tasks[task_id] == "queued":
            with pytest.raises(IllegalTransition):
                self.scheduler.retry(task_id)
        elif len(self.waiting(self.committed)) >= ROOM:
            with pytest.raises(QueueFull):
                self.scheduler.retry(task_id)
        else:
            assert self.scheduler.retry(task_id).state == "queued"
            tasks[task_id] = "queued"

    @precondition(has_tasks)
    @rule(number=ANY)
    def remove(self, number):
        task_id, tasks = self.pick(number)
        self.scheduler.remove(task_id)
        del tasks[task_id]

    @invariant()
    def records_are_those_of_committed_tasks(self):
        found = [(r.id, r.state) for r in self.scheduler.records(limit=None)]
        assert found == list(self.committed.items())[::-1]

    @invariant()
    def pending_ones_are_known_by_their_id(self):
        for task_id, state in self.pending.items():
            assert self.scheduler.record(task_id).state == state

    @invariant()
    def nothing_else_is_kept(self):
        assert set(self.scheduler._schedules) == {*self.committed, *self.pending}

    @invariant()
    def those_that_wait_are_in_the_queue_and_no_others(self):
        queue, _mail = self.scheduler.queues()
        assert queue.waiting == len(self.waiting(self.committed))


TestSchedulerMachine = SchedulerMachine.TestCase
