"""The scheduler keeps the promises of dm.zodb.asynchronous."""

from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.scheduler import TransactionalScheduler
from dm.zodb.asynchronous import scheduler as dm
from dm.zodb.asynchronous.tests import test_scheduler as dm_tests
from helpers import finished
from zope.interface.verify import verifyObject

import pytest
import transaction


class TestItsOwnTests(dm_tests.TestTransactionalScheduler):
    """The test cases of the installed package, run against our class."""

    @pytest.fixture(autouse=True)
    def _ours(self, monkeypatch):
        monkeypatch.setattr(dm_tests, "TransactionalScheduler", TransactionalScheduler)
        transaction.abort()

    def setUp(self):
        super().setUp()
        assert type(self.s) is TransactionalScheduler


def test_our_class_is_a_subclass():
    assert issubclass(TransactionalScheduler, dm.TransactionalScheduler)


def test_it_provides_its_interface(scheduler):
    assert verifyObject(ITransactionalScheduler, scheduler)


def test_timeout_is_how_long_finished_tasks_are_kept():
    assert TransactionalScheduler(timeout=7).settings.keep == 7


class TestCompleted:
    def test_none_for_an_unknown_task(self, scheduler):
        assert scheduler.completed("0" * 32) is None

    def test_false_until_it_has_ended_then_true(self, scheduler, gate):
        task_id = scheduler.schedule(gate.task)
        assert scheduler.completed(task_id) is False
        transaction.commit()
        gate.wait()
        assert scheduler.completed(task_id) is False
        gate.open()
        finished(task_id)
        assert scheduler.completed(task_id) is True

    def test_none_after_an_abort(self, scheduler):
        task_id = scheduler.schedule(lambda: None)
        transaction.abort()
        assert scheduler.completed(task_id) is None


class TestGetResult:
    """The result is read once: by the transaction that commits."""

    @pytest.fixture
    def task_id(self, scheduler):
        task_id = scheduler.schedule(lambda: 42)
        finished(task_id)
        return task_id

    def test_none_for_an_unknown_task(self, scheduler):
        assert scheduler.get_result("0" * 32) is None

    def test_false_while_it_runs(self, scheduler, gate):
        task_id = scheduler.schedule(gate.task)
        transaction.commit()
        gate.wait()
        assert scheduler.get_result(task_id) is False

    def test_consumed_by_a_commit(self, scheduler, task_id):
        assert scheduler.get_result(task_id) == (42, None)
        transaction.commit()
        assert scheduler.get_result(task_id) is None
        assert scheduler.record(task_id) is None

    def test_there_until_the_commit(self, scheduler, task_id):
        assert scheduler.get_result(task_id) == (42, None)
        assert scheduler.get_result(task_id) == (42, None)

    def test_not_consumed_by_an_abort(self, scheduler, task_id):
        scheduler.get_result(task_id)
        transaction.abort()
        assert scheduler.get_result(task_id) == (42, None)

    def test_not_consumed_when_a_savepoint_before_is_rolled_back(
        self, scheduler, task_id
    ):
        savepoint = transaction.savepoint()
        scheduler.get_result(task_id)
        savepoint.rollback()
        transaction.commit()
        assert scheduler.get_result(task_id) == (42, None)

    def test_consumed_when_a_savepoint_after_is_rolled_back(self, scheduler, task_id):
        scheduler.get_result(task_id)
        transaction.savepoint().rollback()
        transaction.commit()
        assert scheduler.get_result(task_id) is None

    def test_reading_the_record_does_not_consume_it(self, scheduler, task_id):
        assert scheduler.record(task_id).has_result
        transaction.commit()
        assert scheduler.get_result(task_id) == (42, None)

    def test_of_a_failed_task_is_its_exception(self, scheduler):
        def fail():
            raise KeyError("missing")

        task_id = scheduler.schedule(fail)
        finished(task_id)
        result, exception = scheduler.get_result(task_id)
        assert result is None
        assert type(exception) is KeyError
        assert exception.args == ("missing",)
        assert exception.__traceback__ is None


class TestRemove:
    def test_of_an_unknown_task_does_nothing(self, scheduler):
        scheduler.remove("0" * 32)
        assert scheduler.records() == []

    def test_of_a_finished_task_forgets_it(self, scheduler):
        task_id = scheduler.schedule(lambda: None)
        finished(task_id)
        scheduler.remove(task_id)
        assert scheduler.completed(task_id) is None
        assert scheduler.get_result(task_id) is None
