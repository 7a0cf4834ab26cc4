"""Each task gets a new thread, and a queue never has more threads than slots."""

from AccessControl.SecurityManagement import noSecurityManager
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.interfaces import ITaskFailed
from helpers import finished
from helpers import TIMEOUT
from threading import Barrier
from threading import current_thread
from threading import enumerate as alive_threads
from threading import Event
from threading import Thread
from zope.component import getGlobalSiteManager

import pytest
import threading
import transaction


def alive(queue):
    """The threads of a queue that are alive."""
    prefix = f"background-{queue}-"
    return [thread for thread in alive_threads() if thread.name.startswith(prefix)]


class TestThreads:
    def test_a_thread_is_named_after_queue_and_task(self, make_scheduler):
        make_scheduler(queues={"imports": 1})
        names = []
        task_id = using(queue="imports").schedule(
            lambda: names.append(current_thread().name)
        )
        finished(task_id)
        assert names == [f"background-imports-{task_id}"]

    def test_every_task_has_a_new_one(self, scheduler):
        threads = []
        for _ in range(20):
            schedule(lambda: threads.append(current_thread()))
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert len(set(threads)) == 20
        assert current_thread() not in threads

    def test_they_end_with_the_tasks(self, scheduler):
        for _ in range(5):
            schedule(lambda: None)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert alive("default") == []

    def test_they_do_not_keep_the_process_alive(self, scheduler):
        daemons = []
        finished(schedule(lambda: daemons.append(current_thread().daemon)))
        assert daemons == [True]

    @pytest.mark.parametrize("slots", [1, 3])
    def test_all_slots_are_used_and_never_more(self, make_scheduler, slots):
        """As many as there are slots meet; each looks at who is alive."""
        scheduler = make_scheduler(concurrency=slots)
        together = Barrier(slots)
        seen = []

        def work():
            together.wait(TIMEOUT)
            seen.append(len(alive("default")))

        for _ in range(20 * slots):
            schedule(work)
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert len(seen) == 20 * slots
        assert max(seen) == slots
        assert scheduler.count(states="succeeded") == 20 * slots

    def test_the_next_one_starts_when_the_last_has_ended(
        self, make_scheduler, monkeypatch
    ):
        """Not when its task has: the thread may have more to do."""
        make_scheduler(concurrency=1)
        next_one, joining = Event(), Event()
        started_too_early = []
        join = Thread.join

        def tell_and_join(thread, timeout=None):
            joining.set()
            join(thread, timeout)

        def last_words(args):
            # Who waits for the end of this thread starts nothing meanwhile.
            assert joining.wait(TIMEOUT)
            started_too_early.append(next_one.is_set())

        monkeypatch.setattr(Thread, "join", tell_and_join)

        def leave_thread(event):
            raise SystemExit

        monkeypatch.setattr(threading, "excepthook", last_words)
        getGlobalSiteManager().registerHandler(leave_thread, (ITaskFailed,))
        try:
            schedule(int, "no number")
            finished(schedule(lambda: next_one.set()))
        finally:
            getGlobalSiteManager().unregisterHandler(leave_thread, (ITaskFailed,))
        assert next_one.is_set()
        assert started_too_early == [False]

    def test_commits_from_many_threads_do_not_exceed_them(self, make_scheduler):
        scheduler = make_scheduler(concurrency=2)
        seen = []

        def commit():
            # Zope knows who is logged in by the thread's number, which may have been
            # that of another one before.
            noSecurityManager()
            for _ in range(10):
                schedule(lambda: seen.append(len(alive("default"))))
                transaction.commit()

        visitors = [Thread(target=commit) for _ in range(4)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join(TIMEOUT)
        scheduler.wait_all(TIMEOUT)
        assert len(seen) == 40
        assert max(seen) <= 2


class TestOrder:
    @pytest.fixture
    def order(self, make_scheduler, gate):
        """Schedule tasks by name and priority; return in which order they run."""
        scheduler = make_scheduler(concurrency=1)
        schedule(gate.task)
        transaction.commit()
        gate.wait()

        def order(*tasks):
            started = []
            for name, priority in tasks:
                using(priority=priority).schedule(
                    lambda name=name: started.append(name)
                )
            transaction.commit()
            gate.open()
            scheduler.wait_all(TIMEOUT)
            return started

        return order

    def test_first_come_first_served(self, order):
        assert order(*[(n, 0) for n in range(30)]) == list(range(30))

    def test_a_higher_priority_goes_first(self, order):
        assert order(("low", -1), ("usual", 0), ("high", 10)) == [
            "high",
            "usual",
            "low",
        ]

    def test_in_order_within_a_priority(self, order):
        tasks = [(f"{priority}{n}", priority) for n in range(3) for priority in (1, 2)]
        assert order(*tasks) == ["20", "21", "22", "10", "11", "12"]


class TestQueues:
    @pytest.fixture
    def scheduler(self, make_scheduler):
        return make_scheduler(concurrency=1, queues={"mail": 1})

    def status(self, scheduler):
        return {queue.name: queue for queue in scheduler.queues()}

    def test_one_does_not_wait_for_another(self, scheduler, gate):
        using(queue="mail").schedule(gate.task)
        transaction.commit()
        gate.wait()
        assert finished(schedule(lambda: None)).state == "succeeded"
        assert self.status(scheduler)["mail"].running == 1

    def test_their_status(self, scheduler, gate):
        for _ in range(3):
            schedule(gate.task)
        transaction.commit()
        gate.wait()
        status = self.status(scheduler)
        assert list(status) == ["default", "mail"]
        assert status["default"].slots == 1
        assert status["default"].running == 1
        assert status["default"].waiting == 2
        assert status["mail"].running == status["mail"].waiting == 0
        assert not status["default"].paused

    def test_a_paused_one_starts_nothing(self, scheduler):
        scheduler.pause("default")
        task_id = schedule(lambda: None)
        assert finished(using(queue="mail").schedule(lambda: None)).state == "succeeded"
        assert scheduler.record(task_id).state == "queued"
        assert self.status(scheduler)["default"].paused
        scheduler.resume("default")
        assert scheduler.wait(task_id, TIMEOUT).state == "succeeded"
        assert not self.status(scheduler)["default"].paused

    def test_what_runs_goes_on_when_it_is_paused(self, scheduler, gate):
        running, waiting = schedule(gate.task), schedule(lambda: None)
        transaction.commit()
        gate.wait()
        scheduler.pause("default")
        gate.open()
        assert scheduler.wait(running, TIMEOUT).state == "succeeded"
        assert scheduler.record(waiting).state == "queued"
        scheduler.resume("default")
        assert scheduler.wait(waiting, TIMEOUT).state == "succeeded"

    def test_resuming_twice_does_no_harm(self, scheduler):
        runs = []
        scheduler.pause("default")
        task_id = schedule(lambda: runs.append(1))
        transaction.commit()
        scheduler.resume("default")
        scheduler.resume("default")
        scheduler.wait(task_id, TIMEOUT)
        assert runs == [1]

    @pytest.mark.parametrize("name", ["pause", "resume"])
    def test_an_unknown_one_is_refused(self, scheduler, name):
        with pytest.raises(BadOption, match=r"'nowhere'; there are: default, mail"):
            getattr(scheduler, name)("nowhere")

    def test_scheduling_for_an_unknown_one_is_refused(self, scheduler):
        with pytest.raises(BadOption, match=r"'nowhere'; there are: default, mail"):
            using(queue="nowhere").schedule(lambda: None)


class TestNoThread:
    """The interpreter may refuse to start one more thread."""

    def test_its_task_fails_and_says_so(self, make_scheduler, refuse):
        scheduler = make_scheduler(concurrency=1)
        refuse["background-default-"] = 1
        record = finished(schedule(lambda: None))
        assert record.state == "failed"
        assert "no thread could be started" in record.error.message
        assert "can't start new thread" in record.error.message
        assert scheduler.queues()[0].running == 0

    def test_others_go_on_in_its_slot(self, make_scheduler, refuse):
        """Those that waited behind it as well as those that come later."""
        scheduler = make_scheduler(concurrency=1)
        refuse["background-default-"] = 1
        ids = [schedule(lambda: None) for _ in range(3)]
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        found = [scheduler.record(task_id).state for task_id in ids]
        assert found == ["failed", "succeeded", "succeeded"]
        assert finished(schedule(lambda: None)).state == "succeeded"

    def test_nobody_waits_for_ever_when_the_dispatcher_has_none(
        self, scheduler, refuse
    ):
        refuse["background-dispatcher"] = 1
        record = finished(schedule(lambda: None))
        assert record.state == "failed"
        assert "no thread could be started" in record.error.message
        assert finished(schedule(lambda: None)).state == "succeeded"

    def test_one_that_is_put_off_fails_at_once_when_the_dispatcher_has_none(
        self, scheduler, refuse
    ):
        """Nobody would start it when its time has come."""
        refuse["background-dispatcher"] = 1
        record = finished(using(delay=3600).schedule(lambda: None))
        assert record.state == "failed"
        assert "no thread could be started" in record.error.message
        later = using(delay=0.01).schedule(lambda: None)
        assert finished(later).state == "succeeded"

    def test_one_that_is_to_be_tried_again_fails_when_it_has_none(
        self, scheduler, refuse
    ):
        def work():
            refuse["background-default-"] = 1
            raise ValueError("not yet")

        record = finished(using(retries=3, backoff=0).schedule(work))
        assert record.state == "failed"
        assert record.attempts == 2
        assert "no thread could be started" in record.error.message

    def test_a_failed_one_can_be_retried(self, scheduler, refuse):
        refuse["background-default-"] = 1
        record = finished(schedule(lambda: 42))
        scheduler.retry(record.id)
        assert scheduler.wait(record.id, TIMEOUT).state == "succeeded"


def test_the_dispatcher_ends_when_nothing_is_left(scheduler):
    before = set(alive_threads())  # that of the process may have something to do
    finished(schedule(lambda: None))
    scheduler.wait_all(TIMEOUT)
    left = set(alive_threads()) - before
    assert "background-dispatcher" not in {thread.name for thread in left}


def test_the_visitor_does_not_wait_for_the_task(scheduler):
    """The committing thread goes on while the task runs."""
    committed = Event()
    seen = []
    task_id = schedule(lambda: seen.append(committed.wait(TIMEOUT)))
    transaction.commit()
    committed.set()
    scheduler.wait(task_id, TIMEOUT)
    assert seen == [True]
