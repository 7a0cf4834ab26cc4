"""What a process has once: how its work ends, and what becomes of a fork."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import Executor
from collective.background.executing.executor import process_executor
from collective.background.executing.queues import Job
from collective.background.interfaces import ITaskFailed
from collective.background.model.config import Settings
from helpers import finished
from helpers import TIMEOUT
from threading import Event
from threading import Thread

import os
import pytest
import signal
import transaction


class Source:
    """Sends jobs to an executor; notes in ``order`` what it is told.

    ``lost``: titles of what is lost with the process.
    """

    def __init__(self, executor, order, lost=()):
        self.executor = executor
        self.order = order
        self.lost = list(lost)
        self.ended = Event()

    def stop(self):
        self.order.append(("stop", self))
        self.executor.dispatcher.stop(self)

    def leave(self, deadline):
        self.order.append(("leave", self))
        return self.lost

    def send(self, id, run):
        def run_and_tell():
            run()
            self.ended.set()

        job = Job(
            id=id,
            queue="default",
            priority=0,
            source=self,
            run=run_and_tell,
            refused=self.order.append,
        )
        self.executor.dispatcher.push(job)
        self.executor.dispatcher.wake_up()


class BrokenSource(Source):
    def stop(self):
        super().stop()
        raise OSError("it does not stop")

    def leave(self, deadline):
        super().leave(deadline)
        raise OSError("it cannot be left")


@pytest.fixture
def executor():
    executor = Executor(Settings(concurrency=1))
    yield executor
    executor.drain(Deadline(TIMEOUT))


@pytest.fixture
def order():
    return []


@pytest.fixture
def make_source(executor, order):
    def make(kind=Source, **options):
        source = kind(executor, order, **options)
        executor.register(source)
        return source

    return make


def has_ended(source):
    return source.ended.wait(TIMEOUT)


class TestSources:
    def test_share_the_slots(self, executor, make_source):
        one, other = make_source(), make_source()
        free = Event()
        one.send("first", lambda: free.wait(TIMEOUT))
        other.send("second", lambda: None)
        status, _ = executor.dispatcher.statuses(other)
        assert (status.running, status.waiting) == (0, 1)
        free.set()
        assert has_ended(other)

    def test_one_that_is_paused_does_not_hold_up_another(self, executor, make_source):
        one, other = make_source(), make_source()
        executor.dispatcher.pause("default", one)
        one.send("paused", lambda: None)
        other.send("usual", lambda: None)
        assert has_ended(other)
        executor.dispatcher.join(other, TIMEOUT)
        assert not one.ended.is_set()
        executor.dispatcher.resume("default", one)
        assert has_ended(one)

    def test_one_that_has_stopped_stays_so(self, executor, make_source):
        """Somebody may resume the queue while the process ends."""
        one, other = make_source(), make_source()
        executor.dispatcher.stop(one)
        one.send("stopped", lambda: None)
        executor.dispatcher.resume("default", one)
        other.send("usual", lambda: None)
        assert has_ended(other)
        executor.dispatcher.join(other, TIMEOUT)
        assert not one.ended.is_set()


class TestQueues:
    def test_have_the_tasks_of_all_together(self, executor, make_source):
        one, other = make_source(), make_source()
        free, begun = Event(), Event()
        one.send("first", lambda: begun.set() or free.wait(TIMEOUT))
        assert begun.wait(TIMEOUT)
        one.send("second", lambda: None)
        other.send("third", lambda: None)
        status, _ = executor.queues()
        assert (status.name, status.slots) == ("default", 1)
        assert (status.running, status.waiting, status.paused) == (1, 2, False)
        free.set()
        assert has_ended(other)

    def test_one_is_paused_if_it_is_for_any_of_them(self, executor, make_source):
        one, _ = make_source(), make_source()
        executor.dispatcher.pause("default", one)
        status, _ = executor.queues()
        assert status.paused

    def test_have_what_a_source_knows_of_elsewhere(self, executor, make_source):
        class Remote(Source):
            def waiting(self):
                return {"default": 7, "of others": 8}

            def paused(self):
                return {"default"}

        remote, other = make_source(Remote), make_source()
        for source in (remote, other):
            executor.dispatcher.pause("default", source)
            source.send(f"of {source}", lambda: None)
            executor.dispatcher.resume("default", other)
        assert has_ended(other)
        executor.dispatcher.join(other, TIMEOUT)
        status, _ = executor.queues()
        assert status.waiting == 8
        executor.dispatcher.resume("default", remote)
        status, _ = executor.queues()
        assert status.paused


class TestDraining:
    def test_all_are_stopped_before_any_is_left(self, executor, order, make_source):
        executor.before_drain(lambda: order.append("before"))
        one, other = make_source(), make_source()
        executor.drain(Deadline(TIMEOUT))
        assert order == [
            "before",
            ("stop", one),
            ("stop", other),
            ("leave", one),
            ("leave", other),
        ]

    def test_tells_what_is_lost(self, executor, make_source):
        make_source(lost=["a task", "another"])
        make_source(lost=["one more"])
        lost = ["a task", "another", "one more"]
        assert executor.drain(Deadline(TIMEOUT)) == lost

    def test_who_fails_does_not_hold_up_the_others(
        self, executor, order, make_source, caplog
    ):
        def fail():
            raise OSError("it cannot be told")

        executor.before_drain(fail)
        executor.before_drain(lambda: order.append("before"))
        broken, other = make_source(BrokenSource), make_source(lost=["a task"])
        assert executor.drain(Deadline(TIMEOUT)) == ["a task"]
        assert order == [
            "before",
            ("stop", broken),
            ("stop", other),
            ("leave", broken),
            ("leave", other),
        ]
        for reason in ("cannot be told", "does not stop", "cannot be left"):
            assert reason in caplog.text

    def test_a_second_time_there_is_nothing_to_do(self, executor, order, make_source):
        make_source(lost=["a task"])
        executor.drain(Deadline(TIMEOUT))
        done = list(order)
        assert executor.drain(Deadline(TIMEOUT)) == ["a task"]
        assert order == done

    def test_who_was_interrupted_can_begin_again(self, executor, order, make_source):
        """As by a person who does not want to wait for a script."""

        def interrupt():
            order.append("interrupt")
            if len(order) == 1:
                raise KeyboardInterrupt

        executor.before_drain(interrupt)
        source = make_source(lost=["a task"])
        with pytest.raises(KeyboardInterrupt):
            executor.drain(Deadline(TIMEOUT))
        assert executor.drain(Deadline(0)) == ["a task"]
        assert order == ["interrupt", "interrupt", ("stop", source), ("leave", source)]

    def test_who_comes_meanwhile_is_stopped_at_once(self, executor, order, make_source):
        executor.before_drain(make_source)
        executor.drain(Deadline(TIMEOUT))
        make_source()
        executor.before_drain(lambda: order.append("too late"))
        assert [what for what, *_ in order].count("stop") == 3
        assert order[-1] == "too late"

    def test_all_wait_until_the_first_deadline(self, executor):
        class Patient(Source):
            def leave(self, deadline):
                lefts.append(deadline.left())
                return []

        lefts = []
        second = Thread(target=executor.drain, args=(Deadline(TIMEOUT),))

        def drain_in_another_thread():
            if second.ident is None:
                second.start()
                second.join(TIMEOUT)

        executor.register(Patient(executor, []))
        executor.before_drain(drain_in_another_thread)
        executor.drain(Deadline(0))
        assert lefts == [0.0, 0.0]

    def test_it_can_be_hurried_while_it_goes_on(self, executor):
        found = [executor.hurry()]
        executor.before_drain(lambda: found.append(executor.hurry()))
        executor.drain(Deadline(TIMEOUT))
        found.append(executor.hurry())
        assert found == [False, True, False]


class TestDeadline:
    def test_is_over_when_it_was_ended(self):
        deadline = Deadline(TIMEOUT)
        assert 0 < deadline.left() <= TIMEOUT
        deadline.end()
        assert deadline.left() == 0

    def test_may_be_extended_for_what_has_to_be_written(self):
        assert Deadline(0).extended(TIMEOUT).left() > 0
        far = Deadline(TIMEOUT)
        assert far.extended(1) is far

    def test_one_that_is_extended_ends_with_the_first(self):
        deadline = Deadline(0)
        later = deadline.extended(TIMEOUT).extended(2 * TIMEOUT)
        assert later.left() > TIMEOUT
        deadline.end()
        assert later.left() == 0
        assert deadline.extended(TIMEOUT).left() == 0


def test_a_subscriber_that_exits_does_not_end_the_dispatcher(
    scheduler, refuse, subscribe, caplog
):
    """When there is no thread for a task, the dispatcher itself tells of it."""

    def leave(event):
        raise SystemExit

    subscribe(ITaskFailed, leave)
    refuse["background-default-"] = 1
    assert finished(schedule(int)).state == "failed"
    assert finished(schedule(int)).state == "succeeded"


def in_child(function):
    """Fork, and return how the child has ended: 0, if the function returned.

    A child that hangs is killed.
    """
    pid = os.fork()
    if not pid:
        status = 1
        try:
            signal.alarm(TIMEOUT)
            function()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


class TestFork:
    def test_the_process_has_another_executor(self):
        parents = process_executor()

        def check():
            assert process_executor() is not parents
            assert process_executor().instance != parents.instance

        assert in_child(check) == 0
        assert process_executor() is parents

    def test_a_scheduler_knows_no_task_and_runs_new_ones(self, scheduler, gate):
        running, waiting = schedule(gate.task), schedule(int)
        transaction.commit()
        gate.wait()
        instance = scheduler.instance

        def check():
            assert scheduler.records() == []
            assert scheduler.instance != instance
            assert finished(schedule(int)).state == "succeeded"
            assert scheduler.settings.concurrency == 2

        assert in_child(check) == 0
        gate.open()
        for id in (running, waiting):
            assert get_scheduler().wait(id, TIMEOUT).state == "succeeded"

    @pytest.fixture
    def busy(self, scheduler):
        """Other threads that do all sorts of things with the scheduler."""
        over = Event()

        def work():
            while not over.is_set():
                finished(schedule(int))
                scheduler.pause("default")
                scheduler.resume("default")

        threads = [Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        yield
        over.set()
        for thread in threads:
            thread.join(TIMEOUT)

    def test_no_lock_of_another_thread_is_waited_for(self, busy):
        ends = [in_child(lambda: finished(schedule(int))) for _ in range(20)]
        assert ends == [0] * 20

    def test_nor_by_a_transaction_that_goes_on_in_the_child(self, scheduler, busy):
        def check():
            transaction.abort()
            assert scheduler.record(task_id) is None
            assert finished(schedule(int)).state == "succeeded"

        task_id = schedule(int)
        assert [in_child(check) for _ in range(20)] == [0] * 20
        assert finished(task_id).state == "succeeded"
