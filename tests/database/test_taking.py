"""Taking: what one instance has reserved and sent is run by another one."""

from bare import let_send
from collections import deque
from collective.background.capture.call import capture_batch
from collective.background.database import looking
from collective.background.database import taking
from collective.background.database import taking_over
from collective.background.database.claims import ClaimedExecution
from collective.background.database.holding import Held
from collective.background.database.instances import add_instance
from collective.background.database.instances import Instance
from collective.background.database.instances import remove_instance
from collective.background.database.private import connected
from collective.background.database.private import own_connection
from collective.background.database.rescue import rescue_all
from collective.background.exceptions import Retry
from collective.background.exceptions import Superseded
from collective.background.model.config import CELERY
from collective.background.running import outcome
from collective.background.scheduling.contention import OFTEN
from contextlib import ExitStack
from dataclasses import replace
from helpers import TIMEOUT
from members import Member
from threading import Thread
from types import SimpleNamespace
from ZODB.POSException import ConflictError

import pytest
import sys


BRIEF = 3600.0  # seconds; no test of what has just begun takes so long


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(taking_over, "BRIEF", BRIEF)


@pytest.fixture
def sender(bare):
    """An instance that reserves tasks and sends them."""
    member = Member(bare, celery_broker="memory://")
    let_send(member.feeder)
    slots = {"default": 8}
    bare.manager.begin()
    add_instance(bare.connection, Instance("what has slots", CELERY, slots))
    bare.manager.commit()
    return member


@pytest.fixture
def make_worker(bare):
    """Return a function that makes an instance which runs only what was sent."""
    made = []

    def make_worker():
        worker = Member(bare, role="celery")
        made.append(worker)
        assert worker.look()
        return worker

    yield make_worker
    for worker in made:
        worker.feeder.stop()


@pytest.fixture
def worker(make_worker):
    return make_worker()


@pytest.fixture
def send(bare, sender):
    """Return a function that has a new task sent, and returns its StoredTask."""

    def send(**options):
        stored = bare.add(**options)
        bare.manager.commit()
        bare.manager.begin()
        assert sender.look()
        bare.manager.begin()
        assert stored.id in bare.scheduler.holdings[sender.id].sent
        return stored

    return send


@pytest.fixture
def now(bare):
    """Return a function that returns a StoredTask, as it is in the database now."""

    def now(stored):
        bare.manager.begin()
        return stored

    return now


@pytest.fixture
def not_early(monkeypatch):
    """No message is taken for one that comes early."""
    monkeypatch.setattr(taking, "EARLY", 0.0)


def take(worker, stored, fence=None, *, patience=TIMEOUT, **changes):
    """A message comes to a worker; return why it does not run the task, or None."""
    values = {"id": stored.id, "oid": stored._p_oid, **changes}
    fence = stored.fence if fence is None else fence
    return worker.feeder.taking.run(fence=fence, patience=patience, **values)


@pytest.fixture
def work(monkeypatch):
    """Return a function that sets what the work of a task does from now on.

    It is called with the Feeder and the Held of the task that has begun, and returns
    the Outcome.
    """
    wrong = []

    def set_work(work):
        def begin_and_run(feeder, held, begin):
            try:
                task, _, error = begin()
            except Superseded:
                return None
            if error is not None:
                return outcome.failed(error)
            feeder.began(held, task)
            try:
                return work(feeder, held)
            except Exception as error:
                wrong.append(error)
                raise

        monkeypatch.setattr(
            "collective.background.database.working._begin_and_run", begin_and_run
        )

    yield set_work
    assert not wrong


def take_over(bare, stored, worker):
    """As a look of the worker does."""
    bare.manager.begin()
    stored.hand_over(worker.id)
    bare.manager.commit()


def succeed(feeder, held):
    """The work commits."""
    claim = held.claim
    with connected(feeder.home, claim.oid) as (stored, manager):
        worker = feeder.executor.instance
        stored.status.succeed(claim.fence, held.task, None, worker)
        manager.commit()
    return outcome.succeeded(None)


def fail(feeder, held):
    return outcome.failed(ValueError("no"))


@pytest.fixture
def runs(worker, work):
    """Return a function that has a task run, and looks after it has begun.

    Returns the Held.
    """

    def runs(stored, seconds=BRIEF, end=succeed):
        found = []

        def look_and_end(feeder, held):
            held.began_at -= seconds
            assert worker.look()
            found.append(held)
            return end(feeder, held)

        work(look_and_end)
        assert take(worker, stored) is None
        return found[0]

    return runs


class TestWhatIsBrief:
    def test_needs_no_look_of_the_worker(self, send, worker, now, work):
        stored = send()
        work(succeed)
        assert take(worker, stored) is None
        assert not worker.feeder.held
        assert not worker.uses()
        assert now(stored).is_done
        record = stored.record()
        assert (record.state, record.instance) == ("succeeded", worker.id)
        assert (record.attempts, record.timeline) == (1, ())

    def test_has_begun_unless_it_may_run_again(self, send, worker, now, work):
        begun = {}

        def note(feeder, held):
            begun[held.claim.id] = now(stored).has_begun
            return succeed(feeder, held)

        work(note)
        once, again = send(), send(rerun=True)
        for stored in (once, again):
            assert take(worker, stored) is None
        assert begun == {once.id: True, again.id: False}

    def test_runs_at_the_worker_as_others_see_it(self, send, worker, now, work):
        def look(feeder, held):
            record = now(stored).record()
            assert (record.state, record.instance) == ("running", worker.id)
            return succeed(feeder, held)

        work(look)
        stored = send()
        assert take(worker, stored) is None

    @pytest.mark.parametrize(
        "tell",
        [
            lambda task: task.__setattr__("lines", 1),
            lambda task: task.__setattr__("messages", ("a message",)),
            lambda task: task.__setattr__(
                "progress", replace(task.progress, message="half")
            ),
            lambda task: task.__setattr__(
                "options", replace(task.options, title="Another one")
            ),
            lambda task: task.__setattr__("attempts", 2),  # the first one conflicted
        ],
    )
    def test_what_it_has_told_is_kept(self, send, worker, now, work, tell):
        """Then its end is written here."""

        def tell_something(feeder, held):
            tell(held.task)
            return succeed(feeder, held)

        work(tell_something)
        stored = send()
        assert take(worker, stored) is None
        assert list(worker.feeder.held) == [stored.id]

    def test_what_it_tells_after_its_commit_is_kept(
        self, send, sender, worker, now, work
    ):
        """Though its end may be settled by then."""
        stored = send()

        def tell_late(feeder, held):
            ended = succeed(feeder, held)
            assert sender.look()
            held.task.log, held.task.lines = deque(["WARNING too late"]), 1
            return ended

        work(tell_late)
        assert take(worker, stored) is None
        assert worker.look()
        assert not worker.feeder.held
        record = now(stored).record()
        assert (record.state, record.log) == ("succeeded", ("WARNING too late",))

    def test_and_fails_is_settled_here(self, send, worker, now, work):
        stored = send()
        work(fail)
        assert take(worker, stored) is None
        assert worker.look()
        assert (now(stored).state, stored.instance) == ("failed", worker.id)
        assert not worker.feeder.held
        assert not worker.uses()

    def test_and_cannot_be_loaded_is_settled_here(self, send, worker, now, monkeypatch):
        def make_task(self, database):
            raise ImportError("no such add-on")

        monkeypatch.setattr(taking.StoredTask, "make_task", make_task)
        stored = send()
        assert take(worker, stored) is None
        assert worker.look()
        assert now(stored).state == "failed"
        assert "no such add-on" in stored.error.message


class TestWhatTakesLonger:
    def test_is_taken_over(self, send, runs, worker, sender, now):
        stored = send()

        def look_at_it(feeder, held):
            assert (now(stored).instance, stored.is_sent) == (worker.id, False)
            assert worker.uses() == [("default", ())]
            assert sender.look()
            assert not sender.feeder.held
            return succeed(feeder, held)

        held = runs(stored, end=look_at_it)
        assert not held.is_lent
        assert worker.look()
        assert (now(stored).state, stored.instance) == ("succeeded", worker.id)

    def test_not_at_once(self, send, runs, now, sender):
        stored = send()
        held = runs(stored, seconds=0.0)
        assert held.is_lent
        assert now(stored).instance == sender.id

    def test_its_work_does_not_conflict_with_that(self, send, runs, now):
        """Though its transaction has begun before."""
        stored = send(rerun=True)
        runs(stored)
        assert now(stored).is_done

    def test_keeps_its_locks_from_others(self, send, runs, worker, sender, bare, now):
        stored = send(lock="erp")
        other = bare.add(lock="erp")
        bare.manager.commit()

        def look_at_it(feeder, held):
            assert worker.uses() == [("default", ("erp",))]
            assert sender.look()
            assert not now(other).instance
            return succeed(feeder, held)

        runs(stored, end=look_at_it)

    def test_and_was_cancelled_is_asked_to_stop(self, send, worker, work, bare, now):
        """Though a look has seen that before the task was known here."""
        stored = send()

        def cancel(feeder, held):
            bare.manager.begin()
            bare.scheduler.shards.request(stored.id, "cancel")
            bare.manager.commit()
            del feeder.held[stored.id]
            assert worker.look()
            feeder.held[stored.id] = held
            held.began_at -= BRIEF
            assert not held.task.cancel_requested
            assert worker.look()
            assert held.task.cancel_requested
            return succeed(feeder, held)

        work(cancel)
        assert take(worker, stored) is None
        assert now(stored).is_done

    def test_or_at_once_if_it_is_known(self, send, worker, work, bare, now):
        stored = send()

        def cancel(feeder, held):
            bare.manager.begin()
            bare.scheduler.shards.request(stored.id, "cancel")
            bare.manager.commit()
            assert worker.look()
            assert held.is_lent
            assert held.task.cancel_requested
            return succeed(feeder, held)

        work(cancel)
        assert take(worker, stored) is None
        assert now(stored).is_done

    def test_a_commit_in_doubt_is_found_by_the_next_look(self, send, worker, work, now):
        """The answer of the storage was lost: what it says is true all the same."""
        stored = send()

        def look_twice(feeder, held):
            held.began_at -= BRIEF
            worker.begin()
            assert worker.commit(tells=False)
            assert held.is_lent
            assert worker.look()
            assert not held.is_lent
            return succeed(feeder, held)

        work(look_twice)
        assert take(worker, stored) is None
        assert worker.look()
        assert now(stored).state == "succeeded"
        assert stored.attempts == 1

    def test_may_end_in_the_middle_of_that(self, send, worker, work, now):
        stored = send()
        work(succeed)
        begun = []

        def begin_look(feeder, held):
            held.began_at -= BRIEF
            worker.begin()
            begun.append(held)
            return succeed(feeder, held)

        work(begin_look)
        assert take(worker, stored) is None
        assert not worker.feeder.held
        assert worker.commit()
        assert now(stored).instance == worker.id
        assert worker.look()
        assert now(stored).state == "succeeded"
        assert not worker.uses()

    def test_that_somebody_has_taken_away_is_asked_to_stop(
        self, send, runs, worker, now, bare, work
    ):
        stored = send(rerun=True)

        def see(feeder, held):
            now(stored).release()
            bare.manager.commit()
            assert worker.look()
            assert held.task.superseded
            return fail(feeder, held)

        work(see)
        assert take(worker, stored) is None
        assert worker.look()
        assert not worker.feeder.held
        assert (now(stored).state, stored.instance) == ("queued", "")


class TestALookThatBeganBefore:
    """It cannot know of what has come to the threads meanwhile."""

    def test_leaves_alone_what_has_ended(self, send, worker, work, now):
        work(fail)
        sent = []

        def take_meanwhile(look):
            sent.append(send())
            assert take(worker, sent[0]) is None
            assert worker.feeder.held[sent[0].id].is_over
            looking.usual(look)

        assert worker.look(work=take_meanwhile)
        assert worker.look()
        assert now(sent[0]).state == "failed"
        assert not worker.feeder.held

    def test_leaves_alone_what_runs(self, send, worker, work, now):
        sent = []

        def look_at_it(feeder, held):
            looking.usual(sent[0])
            assert not held.task.superseded
            return succeed(feeder, held)

        def take_meanwhile(look):
            sent.append(look)
            assert take(worker, send()) is None

        work(look_at_it)
        assert worker.look(work=take_meanwhile)


class TestTheEndOfTheProcess:
    def test_what_has_just_begun_is_taken_over_and_lost(self, send, worker, work, now):
        stored = send()

        def end(feeder, held):
            assert worker.look(work=looking.last)
            return fail(feeder, held)

        work(end)
        assert take(worker, stored) is None
        assert now(stored).state == "lost"
        assert not worker.uses()

    def test_or_runs_again(self, send, worker, work, now):
        stored = send(rerun=True)

        def end(feeder, held):
            assert worker.look(work=looking.last)
            return fail(feeder, held)

        work(end)
        assert take(worker, stored) is None
        assert (now(stored).state, stored.instance) == ("queued", "")


class TestAMessageThatIsFasterThanTheDatabase:
    """A client learns of others' commits some time after these."""

    def test_waits_for_that(self, bare, send, worker, now, work, monkeypatch):
        stored = send()
        work(succeed)
        find, looks = taking._Examined._find, []

        def find_later(self):
            looks.append(1)
            return find(self) if len(looks) > 2 else None

        monkeypatch.setattr(taking._Examined, "_find", find_later)
        assert take(worker, stored) is None
        assert now(stored).is_done

    def test_but_not_for_ever(self, send, worker, not_early):
        assert "no such task" in take(worker, send(), id="no such id")


class TestAProcessThatOthersTakeForDead:
    """It was frozen: what it would begin would be lost as soon as it has begun."""

    @pytest.fixture
    def buried(self, bare, worker):
        bare.manager.begin()
        remove_instance(bare.connection, worker.id)
        bare.manager.commit()
        return worker

    def test_begins_once_it_is_heard_of_again(
        self, bare, send, buried, work, now, monkeypatch
    ):
        stored = send()
        work(succeed)
        wait, beats = buried.feeder.changed.wait, []

        def beat(seconds):
            beats.append(seconds)
            bare.manager.begin()
            add_instance(bare.connection, Instance(buried.id, CELERY, {}))
            bare.manager.commit()
            wait(0)

        monkeypatch.setattr(buried.feeder.changed, "wait", beat)
        assert take(buried, stored) is None
        assert len(beats) == 1
        assert now(stored).is_done

    def test_begins_nothing_before_that(self, send, buried, now, not_early):
        stored = send()
        assert "for dead" in take(buried, stored)
        assert not now(stored).has_begun


@pytest.mark.usefixtures("not_early")
class TestWhatIsNotTaken:
    @pytest.fixture(autouse=True)
    def nothing_begins(self, work):
        begun = []

        def note(feeder, held):
            begun.append(held)
            return fail(feeder, held)

        work(note)
        yield
        assert not begun

    def refused(self, worker, stored, fence=None, **changes):
        refusal = take(worker, stored, fence, **changes)
        assert not worker.feeder.held
        assert not worker.uses()
        return refusal

    def test_a_forged_one(self, worker, bare, now):
        stored = bare.add()
        bare.manager.commit()
        assert "given to somebody else" in self.refused(worker, stored, 0)
        stored.reserve("a thread's")
        bare.manager.commit()
        assert "nobody has sent it" in self.refused(worker, stored)
        assert now(stored).instance == "a thread's"

    @pytest.mark.parametrize("id", ["", "no such id", "0" * 32])
    def test_one_that_is_not_there(self, send, worker, id):
        assert "no such task" in self.refused(worker, send(), id=id)

    @pytest.mark.parametrize("oid", [bytes(8), b"\x7f" * 8])
    def test_one_of_another_object(self, send, worker, oid):
        assert "no such task" in self.refused(worker, send(), oid=oid)

    def test_one_of_the_scheduler(self, send, worker, bare):
        oid = bare.scheduler._p_oid
        assert "no such task" in self.refused(worker, send(), oid=oid)

    def test_a_copy(self, send, worker, bare):
        """It is in the database, but the tasks of another site have its id."""
        stored = send()
        stored.home = b"\x01" * 8
        bare.manager.commit()
        assert "no such task" in self.refused(worker, stored)

    def test_a_replayed_one(self, send, worker, bare):
        stored = send()
        fence = stored.fence
        stored.release()
        bare.manager.commit()
        assert "since" in self.refused(worker, stored, fence)

    def test_one_that_has_ended(self, send, worker, bare):
        stored = send()
        bare.scheduler.shards.leave(stored)
        stored.end(outcome.failed(ValueError("no")))
        bare.manager.commit()
        assert "it has ended" in self.refused(worker, stored)

    def test_one_that_has_begun_elsewhere(self, send, worker, bare):
        stored = send()
        stored.begin("another worker")
        bare.manager.commit()
        assert "another worker has it" in self.refused(worker, stored)

    def test_one_that_another_worker_has_taken_over(self, send, worker, bare, now):
        stored = send(rerun=True)
        stored.hand_over("another worker")
        bare.manager.commit()
        assert "another worker has it" in self.refused(worker, stored)
        assert now(stored).instance == "another worker"

    def test_one_of_a_later_version(self, send, worker, bare):
        stored = send()
        stored.version += 1
        bare.manager.commit()
        assert "later version" in self.refused(worker, stored)

    def test_one_that_is_cancelled_meanwhile(self, send, worker, sender, bare, now):
        """Who has sent it sees to that."""
        stored = send()
        bare.scheduler.shards.request(stored.id, "cancel")
        bare.manager.commit()
        assert "cancelled" in self.refused(worker, stored)
        assert now(stored).state == "queued"

    def test_one_of_a_queue_that_is_paused(self, send, worker, bare, now):
        stored = send()
        bare.scheduler.pause("default")
        bare.manager.commit()
        assert "is paused" in self.refused(worker, stored)
        assert now(stored).is_reserved

    def test_one_of_a_site_that_has_none_any_more(self, send, worker, bare, now):
        stored = send()
        bare.scheduler.retired = True
        bare.manager.commit()
        assert "has no tasks" in self.refused(worker, stored)

    def test_one_of_a_site_of_another_deployment(self, send, worker, now):
        stored = send()
        worker.feeder.is_foreign = True
        assert "another deployment" in self.refused(worker, stored)
        assert now(stored).instance != worker.id

    def test_any_by_a_process_that_ends(self, send, worker):
        stored = send()
        worker.feeder.stop()
        assert "about to end" in self.refused(worker, stored)

    def test_any_by_a_process_that_cannot_look(self, send, worker):
        worker.feeder.has_looked = False
        assert "in time" in self.refused(worker, send(), patience=0.01)


class TestOneThatComesTwice:
    def test_at_the_same_worker(self, send, worker, work, now):
        stored = send()

        def take_again(feeder, held):
            assert "twice" in take(worker, stored) or held.task
            return succeed(feeder, held)

        work(take_again)
        assert take(worker, stored) is None

    def test_what_may_run_again_at_the_same_worker(self, send, worker, work):
        stored = send(rerun=True)

        def take_again(feeder, held):
            assert "twice" in take(worker, stored)
            return succeed(feeder, held)

        work(take_again)
        assert take(worker, stored) is None

    def test_and_begins_at_two_workers_at_once(
        self, send, worker, make_worker, work, now, monkeypatch
    ):
        """One of them conflicts, and takes nothing from the other."""
        stored, other = send(), make_worker()
        ran = []

        def note(feeder, held):
            ran.append(feeder)
            return succeed(feeder, held)

        work(note)
        begin, left = taking.claims.begin, [other]

        def begin_later(*args):
            if left:
                assert take(left.pop(), stored) is None
            return begin(*args)

        monkeypatch.setattr(taking.claims, "begin", begin_later)
        assert take(worker, stored) is None
        assert ran == [other.feeder]
        assert worker.look()
        assert not worker.feeder.held
        assert now(stored).is_done
        assert stored.status.worker == other.id


@pytest.mark.parametrize("rerun", [False, True])
def test_one_that_could_not_run_though_it_has_begun_waits_on(
    send, worker, work, now, monkeypatch, rerun
):
    """As when the connection is lost at that moment."""
    stored = send(rerun=rerun)
    begin = taking.claims.begin

    def begin_in_vain(*args):
        begin(*args)
        raise ConflictError

    monkeypatch.setattr(taking.claims, "begin", begin_in_vain)
    assert take(worker, stored) is None
    assert worker.look()
    assert (now(stored).state, stored.instance) == ("queued", "")
    assert not worker.feeder.held


class TestABatchThatComesTwice:
    """It may begin without a word, at two workers."""

    @pytest.fixture
    def batch(self, send):
        return send(call=capture_batch(len, ["a"] * 6, (), {}, 2), rerun=True)

    @pytest.fixture
    def attempt(self, batch):
        """Return a function that begins the next chunk at a worker.

        ``execution``: None: its first one. Returns that and what commits the chunk.
        """
        with ExitStack() as stack:

            def attempt(worker, execution=None):
                opened = own_connection(worker.feeder.home)
                connection, manager = stack.enter_context(opened)
                stored = connection.get(batch._p_oid)
                if execution is None:
                    task = stored.make_task(None)
                    claim = worker.feeder.claim_of(stored, stored.fence)
                    execution = ClaimedExecution(
                        worker.feeder, task, Held(claim, batch.queue)
                    )
                env = SimpleNamespace(app=SimpleNamespace(_p_jar=connection))
                execution.begin_attempt(env)

                def commit():
                    end = execution.cursor + 2
                    execution.save_cursor(env, end, ())
                    manager.commit()
                    execution.cursor = end

                return execution, commit

            yield attempt

    def test_is_done_by_the_one_that_commits_first(self, attempt, worker, make_worker):
        one, commit = attempt(worker)
        other, too_late = attempt(make_worker())
        commit()
        with pytest.raises(ConflictError):
            too_late()
        for _ in range(2):
            _, commit = attempt(worker, one)
            commit()
        with pytest.raises(Superseded, match="another worker"):
            attempt(worker, other)

    def test_goes_on_where_the_other_one_was(
        self, attempt, batch, worker, make_worker, bare
    ):
        """This one has taken it over at the same moment."""
        taker, other = make_worker(), worker
        one, commit = attempt(other)
        mine, _ = attempt(taker)
        take_over(bare, batch, taker)
        commit()
        with pytest.raises(Retry):
            attempt(taker, mine)
        assert mine.cursor == 2
        attempt(taker, mine)
        with pytest.raises(Superseded, match="another instance"):
            attempt(other, one)

    def test_is_not_gone_on_with_once_it_has_failed(
        self, attempt, batch, worker, make_worker, bare
    ):
        taker, other = make_worker(), worker
        _, commit = attempt(other)
        commit()
        take_over(bare, batch, taker)
        bare.manager.begin()
        task = batch.make_task(None)
        bare.scheduler.shards.leave(batch)
        batch.end(outcome.failed(ValueError("no")), task)
        bare.manager.commit()
        assert batch.status.revoked == batch.fence


class TestThoseThatConflict:
    def test_stand_in_the_line_of_their_kind(self, send, sender, worker, now, work):
        """Who executes has seen it, and not who sends."""
        work(fail)
        stored = send()
        for _ in range(OFTEN):
            worker.feeder.contention.note(stored.callable, True)
        assert "those of its kind conflict" in take(worker, stored)
        assert worker.look()
        assert (now(stored).state, stored.instance) == ("queued", "")
        assert stored.locks
        assert not worker.feeder.held
        assert sender.look()  # it finds that the task is not its own any more
        assert sender.look()
        assert now(stored).instance == sender.id


class TestOneThatMayHaveKilledAProcess:
    @pytest.fixture
    def marked(self, send, bare):
        marked = send(rerun=True)
        marked.is_marked = True
        bare.manager.commit()
        return marked

    def test_runs_alone(self, send, marked, worker, work, now):
        other = send()

        def take_other(feeder, held):
            assert now(marked).has_begun
            assert "runs alone" in take(worker, other, patience=0.01)
            return succeed(feeder, held)

        work(take_other)
        assert take(worker, marked) is None

    def test_waits_for_others(self, send, marked, worker, work, now, until):
        other, threads = send(), []

        def take_marked(feeder, held):
            if held.claim.id == other.id:
                thread = Thread(target=take, args=(worker, marked))
                threads.append(thread)
                thread.start()
                until(lambda: feeder.taking._marked)
                assert not now(marked).has_begun
                # Nothing new begins until it has run.
                assert "while others run" in take(worker, send(), patience=0.01)
            return succeed(feeder, held)

        work(take_marked)
        assert take(worker, other) is None
        threads[0].join(60)
        assert now(marked).is_done


class TestTheThread:
    @pytest.mark.parametrize(
        ("has_begun", "state"), [(False, "queued"), (True, "failed")]
    )
    def test_that_is_interrupted(
        self, send, worker, now, monkeypatch, has_begun, state
    ):
        """What had begun is not to begin once more."""
        stored = send()

        def run(feeder, held, begin):
            if has_begun:
                held.task, *_ = begin()
            sys.exit()

        monkeypatch.setattr(taking, "work_on", run)
        with pytest.raises(SystemExit):
            take(worker, stored)
        assert worker.feeder.held
        assert worker.look()
        assert now(stored).state == state
        assert not worker.feeder.held

    def test_whose_work_is_broken_off(self, send, worker, work, caplog):
        """The log tells of that, and of nothing else."""
        work(lambda feeder, held: sys.exit())
        assert take(worker, send()) is None
        assert "could not be begun" in caplog.text
        assert worker.look()
        assert not worker.feeder.held


def test_a_worker_that_dies_leaves_it_to_who_has_sent_it(send, sender, bare, now):
    """See ``sent.py``; others have nothing of it."""
    stored = send()
    stored.begin("a worker")
    bare.manager.commit()
    bare.manager.begin()
    rescue_all(bare.look(bare.feeder()), {"a worker"})
    assert now(stored).instance == sender.id
