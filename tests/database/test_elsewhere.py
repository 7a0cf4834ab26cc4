"""Tasks that workers elsewhere have: handed over, reported on, and lost."""

from collective.background.capture.external import capture_external
from collective.background.database import discarding
from collective.background.database import instances
from collective.background.database import listening
from collective.background.database.changes import cancel
from collective.background.database.claims import ClaimedExecution
from collective.background.database.discarding import cancel_all
from collective.background.database.elsewhere import report
from collective.background.database.elsewhere import see_to_sent
from collective.background.database.external import External
from collective.background.database.handed_over import count_handed_over
from collective.background.database.handed_over import hand_over
from collective.background.database.handed_over import handed_over
from collective.background.database.holding import Held
from collective.background.database.listening import see_to_elsewhere
from collective.background.database.private import connected
from collective.background.database.rescue import let_go
from collective.background.database.settling import News
from collective.background.exceptions import Retry
from collective.background.exceptions import Superseded
from collective.background.exceptions import TaskNotFound
from collective.background.model.external import digest_of
from collective.background.model.external import LIFETIME
from collective.background.model.external import parse_report
from collective.background.running import outcome
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from itertools import count
from members import Member
from types import SimpleNamespace
from ZODB.POSException import ConflictError

import pytest


TOKEN = "secret"
SILENCE = 300.0
numbers = count(1)


@pytest.fixture
def sent(bare):
    """A StoredTask whose message has just been sent; its instance has it still."""
    stored = bare.add(call=capture_external("a.b", None, "celery"))
    fence = stored.reserve("an-instance")
    external = External(digest_of(TOKEN), fence, LIFETIME, SILENCE)
    stored.status.send(SimpleNamespace(arguments=()), external)
    commit(bare)
    return stored


@pytest.fixture
def away(bare, sent):
    """One that was handed over to its worker."""
    hand_over(bare.scheduler, sent)
    commit(bare)
    return sent


def commit(bare):
    bare.manager.commit()
    bare.manager.begin()


def send(bare):
    """Return another one that was handed over."""
    stored = bare.add(call=capture_external("a.b", None, "celery"))
    external = External(digest_of(TOKEN), stored.reserve("a"), LIFETIME, SILENCE)
    stored.status.send(SimpleNamespace(arguments=()), external)
    hand_over(bare.scheduler, stored)
    return stored


def tell(scheduler, stored, state="running", **more):
    """Report on a task; return its state."""
    told = {"run": "one", "number": next(numbers), "state": state, **more}
    report(scheduler, stored.id, TOKEN, parse_report(told), News())
    return scheduler.record_of(stored).state


def put_off(scheduler, stored):
    """Its message could not be sent; it is not certain that the broker has it not."""
    failed = outcome.failed(Retry("broker"), retry_in=1)
    assert not see_to_sent(scheduler, stored, failed, News())
    stored.put_off(failed, None, None)


def in_line(bare):
    return [task for shard in bare.scheduler.shards for task in shard.line.values()]


class TestHandingOver:
    def test_it_stands_in_no_line_and_nobody_takes_it(self, bare, away):
        assert away not in in_line(bare)
        member = Member(bare, queues={})
        member.look()
        assert member.waits() == []
        assert list(handed_over(bare.scheduler)) == [away]

    def test_that_is_seen_to_when_the_message_was_sent(self, bare, sent):
        sent_well = outcome.succeeded(None)
        assert see_to_sent(bare.scheduler, sent, sent_well, News())
        assert sent.is_elsewhere

    def test_and_when_it_was_not_but_the_worker_has_it(self, bare, sent):
        tell(bare.scheduler, sent)
        failed = outcome.failed(Retry("broker"), retry_in=1)
        assert see_to_sent(bare.scheduler, sent, failed, News())
        assert sent.is_elsewhere

    def test_what_could_not_be_sent_is_treated_as_any_other(self, bare, sent):
        failed = outcome.failed(Retry("broker"), retry_in=1)
        assert not see_to_sent(bare.scheduler, sent, failed, News())

    def test_a_worker_may_be_faster_than_the_look(self, bare, sent):
        assert tell(bare.scheduler, sent) == "running"
        assert tell(bare.scheduler, sent, "succeeded") == "succeeded"
        assert count_handed_over(bare.scheduler) == 0

    def test_its_end_takes_it_away_from_there(self, bare, away):
        assert count_handed_over(bare.scheduler) == 1
        tell(bare.scheduler, away, "succeeded", worker="gpu:1")
        assert count_handed_over(bare.scheduler) == 0
        assert bare.scheduler.record_of(away).instance == "gpu:1"

    def test_as_many_as_may_wait_are_elsewhere(self, bare, away):
        task = bare.add(call=capture_external("a.b", None, "celery"))
        commit(bare)
        feeder = bare.feeder(max_waiting=1)
        claim = feeder.claim_of(task, task.reserve(feeder.executor.instance))
        commit(bare)
        execution, env = sending(bare, feeder, task, claim)
        with pytest.raises(Retry, match="as many tasks as may wait"):
            execution.save_token(env, digest_of("another"))


class TestOneThatIsSentTwice:
    """By two workers of Celery, as its message has come twice."""

    @pytest.fixture
    def attempt(self, bare, sent):
        """An execution at another worker, and the environment of its attempt."""
        feeder = bare.feeder()
        sent.is_sent = True
        commit(bare)
        return sending(bare, feeder, sent, feeder.claim_of(sent, sent.fence))

    def test_is_not_taken_from_who_begins_it_at_this_moment(self, bare, sent, attempt):
        execution, env = attempt
        execution.begin_attempt(env)
        execution.save_token(env, digest_of("another"))
        with connected(bare.feeder().home, bare.scheduler._p_oid) as (other, manager):
            tell(other, other.shards.find(sent.id))
            manager.commit()
        with pytest.raises(ConflictError):
            bare.manager.commit()
        bare.manager.begin()
        assert sent.external.is_valid(TOKEN)

    @pytest.mark.parametrize("change", [tell, hand_over])
    def test_nor_from_who_has_it(self, bare, sent, attempt, change):
        execution, env = attempt
        change(bare.scheduler, sent)
        with pytest.raises(Superseded):
            execution.begin_attempt(env)


def sending(bare, feeder, stored, claim):
    """Return (ClaimedExecution, env) of who sends it."""
    held = Held(claim, stored.queue)
    execution = ClaimedExecution(feeder, stored.make_task(None), held)
    connection = SimpleNamespace(get_connection=lambda name: bare.connection)
    return execution, SimpleNamespace(app=SimpleNamespace(_p_jar=connection))


class TestTheInstanceHasDied:
    def test_what_was_sent_is_sent_anew(self, bare, sent):
        let_go(bare.scheduler, sent, News(), is_suspect=True)
        assert sent in in_line(bare)
        assert not sent.is_marked
        with pytest.raises(TaskNotFound):
            tell(bare.scheduler, sent)

    def test_what_a_worker_has_begun_goes_on(self, bare, sent):
        tell(bare.scheduler, sent)
        let_go(bare.scheduler, sent, News(), is_suspect=True)
        assert tell(bare.scheduler, sent, "succeeded") == "succeeded"


class TestAtTheSameMoment:
    """The first report, and what would keep a worker from beginning: one conflicts."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda scheduler, id: cancel(scheduler, id, News()),
            lambda scheduler, id: let_go(scheduler, scheduler.shards.find(id), News()),
        ],
        ids=["cancelled", "given back"],
    )
    def test_one_of_them_is_there(self, bare, request, change):
        name = "away" if "cancelled" in request.node.name else "sent"
        stored = request.getfixturevalue(name)
        oid = bare.scheduler._p_oid
        with connected(bare.database, oid) as (scheduler, manager):
            tell(scheduler, scheduler.shards.find(stored.id))
            change(bare.scheduler, stored.id)
            bare.manager.commit()
            with pytest.raises(ConflictError):
                manager.commit()

    def test_or_the_other(self, bare, away):
        with connected(bare.database, bare.scheduler._p_oid) as (scheduler, manager):
            cancel(scheduler, away.id, News())
            tell(bare.scheduler, away)
            bare.manager.commit()
            with pytest.raises(ConflictError):
                manager.commit()

    def test_or_the_other_when_the_message_is_not_known_to_be_sent(self, bare, sent):
        with connected(bare.database, bare.scheduler._p_oid) as (scheduler, manager):
            put_off(scheduler, scheduler.shards.find(sent.id))
            tell(bare.scheduler, sent)
            bare.manager.commit()
            with pytest.raises(ConflictError):
                manager.commit()


class TestSilence:
    """Looks of several instances; ``silence`` is one minute."""

    @pytest.fixture
    def passes(self, bare, monkeypatch):
        """Return a function that lets time pass, also that of the database."""
        clock = SimpleNamespace(now=datetime.now(UTC), monotonic=1000.0)
        for module in (listening, instances):
            monkeypatch.setattr(module, "monotonic", lambda: clock.monotonic)

        def passes(seconds):
            clock.monotonic += seconds
            clock.now += timedelta(seconds=seconds)

        passes.clock = SimpleNamespace(now=lambda: clock.now)
        return passes

    @pytest.fixture
    def listens(self, bare, passes):
        """Return a function: an instance looks at what is elsewhere, and goes on."""

        def join(**settings):
            member = Member(bare, passes.clock, silence=60.0, **settings)

            def listens(seconds):
                """Do it for so long."""
                for _ in range(seconds // 10):
                    assert member.look(work=see_to_elsewhere)
                    passes(10)
                assert member.look(work=see_to_elsewhere)
                bare.manager.begin()

            return listens

        return join

    @pytest.fixture
    def begun(self, bare, away):
        tell(bare.scheduler, away)
        away.external.lease = 60.0
        commit(bare)
        return away

    def test_counts_while_somebody_listens(self, begun, listens):
        one = listens()
        one(60)
        assert begun.state == "queued"
        one(10)
        assert begun.state == "lost"
        assert "silent for 60 seconds" in begun.error.message

    def test_begins_anew_with_each_report(self, bare, begun, listens, passes):
        passes(-60)  # before it reports
        one = listens()
        one(60)
        one(50)
        assert begun.state == "queued"
        one(20)
        assert begun.state == "lost"

    def test_does_not_count_during_an_outage(self, begun, listens, passes):
        one = listens()
        one(10)
        passes(3600)
        one(60)
        assert begun.state == "queued"

    def test_what_has_not_begun_is_silent(self, away, listens):
        listens()(120)
        assert away.state == "queued"

    def test_nobody_is_waited_for(self, begun, listens):
        """Others may stand still for this site."""
        for _ in range(2):
            listens()  # which it does not
        listens()(70)
        assert begun.state == "lost"

    def test_of_two_that_find_it_one_conflicts(self, bare, begun, passes):
        both = [Member(bare, passes.clock, silence=60.0) for _ in range(2)]
        for _ in range(7):
            assert all(member.look(work=see_to_elsewhere) for member in both)
            passes(10)
        for member in both:
            member.begin(work=see_to_elsewhere)
        assert [member.commit() for member in both] == [True, False]
        assert both[1].look(work=see_to_elsewhere)
        bare.manager.begin()
        assert begun.state == "lost"

    def test_workers_of_celery_leave_that_to_others(self, begun, listens):
        listens(role="celery")(120)
        assert begun.state == "queued"

    def test_all_are_seen_in_half_of_that_time(self, bare, begun, listens, monkeypatch):
        """Some in each look."""
        for _ in range(19):
            send(bare)
        commit(bare)
        seen = []
        lose_some = listening._lose_some

        def note(look, tasks):
            seen.append([task.id for task in tasks])
            return lose_some(look, tasks)

        monkeypatch.setattr(listening, "_lose_some", note)
        listens()(20)
        ids = [id for some in seen for id in some]
        assert [len(some) for some in seen] == [7, 7, 7]
        assert len(set(ids)) == 20

    def test_what_nobody_begins_is_lost_in_the_end(self, bare, away):
        away.external.expires = datetime.now(UTC)
        commit(bare)
        bare.see_to(bare.feeder(), see_to_elsewhere)
        record = bare.scheduler.record_of(away)
        assert (record.state, record.attempts) == ("lost", 0)
        assert "no worker has begun it" in record.error.message

    @pytest.fixture
    def late(self, bare, away):
        """One whose time to begin is over."""
        away.external.begin_until = datetime.now(UTC)
        commit(bare)
        return away

    def test_what_is_not_begun_in_its_time_fails(self, bare, late):
        bare.see_to(bare.feeder(), see_to_elsewhere)
        record = bare.scheduler.record_of(late)
        assert record.state == "failed"
        assert record.error.type.endswith("TooLate")

    def test_also_if_a_worker_is_faster_than_the_look(self, bare, late):
        assert tell(bare.scheduler, late) == "failed"
        assert late.external.began is None

    def test_but_not_if_all_is_done(self, bare, late):
        assert tell(bare.scheduler, late, "succeeded") == "succeeded"

    def test_nor_if_it_was_begun_before(self, bare, away):
        tell(bare.scheduler, away)
        away.external.begin_until = datetime.now(UTC)
        commit(bare)
        bare.see_to(bare.feeder(), see_to_elsewhere)
        assert bare.scheduler.record_of(away).state == "running"

    def test_many_are_lost_some_at_a_time(self, bare, sent, monkeypatch):
        monkeypatch.setattr(listening, "AT_ONCE", 1)
        other = bare.add(call=capture_external("a.b", None, "celery"))
        external = External(digest_of(TOKEN), other.reserve("a"), -1, SILENCE)
        other.status.send(SimpleNamespace(arguments=()), external)
        sent.external.expires = external.expires
        for task in (sent, other):
            hand_over(bare.scheduler, task)
        commit(bare)
        feeder = bare.feeder()
        look = bare.look(feeder)
        see_to_elsewhere(look)
        assert look.has_more
        assert sorted([sent.state, other.state]) == ["lost", "queued"]
        see_to_elsewhere(look)
        assert (sent.state, other.state) == ("lost", "lost")

    def test_nothing_is_to_be_looked_at_again_if_nothing_is_there(self, bare):
        look = bare.look(bare.feeder())
        see_to_elsewhere(look)
        assert look._again_at == float("inf")


def test_what_is_discarded_is_taken_from_workers_too(bare, away, monkeypatch):
    monkeypatch.setattr(discarding, "AT_ONCE", 1)
    other = send(bare)
    commit(bare)
    for task in (away, other):
        tell(bare.scheduler, task)
    commit(bare)
    cancel_all(bare.scheduler, take_from_others=True)
    bare.manager.begin()
    assert (away.state, other.state) == ("cancelled", "cancelled")
    assert tell(bare.scheduler, away, "succeeded") == "cancelled"
