"""Tasks that workers elsewhere have: handed over, reported on, and lost."""

from collective.background.capture.external import capture_external
from collective.background.database import discarding
from collective.background.database import elsewhere
from collective.background.database import instances
from collective.background.database.changes import cancel
from collective.background.database.claims import ClaimedExecution
from collective.background.database.discarding import cancel_all
from collective.background.database.elsewhere import Listening
from collective.background.database.elsewhere import report
from collective.background.database.elsewhere import see_to_elsewhere
from collective.background.database.elsewhere import see_to_sent
from collective.background.database.external import External
from collective.background.database.handed_over import count_handed_over
from collective.background.database.handed_over import hand_over
from collective.background.database.handed_over import handed_over
from collective.background.database.private import connected
from collective.background.database.rescue import let_go
from collective.background.database.settling import News
from collective.background.exceptions import Retry
from collective.background.exceptions import TaskNotFound
from collective.background.model.external import digest_of
from collective.background.model.external import LIFETIME
from collective.background.model.external import parse_report
from collective.background.running import outcome
from datetime import datetime
from datetime import UTC
from itertools import count
from members import Member
from types import SimpleNamespace
from ZODB.POSException import ReadConflictError

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

    def test_lists_of_others_do_not_load_it(self, bare, away):
        commit(bare)
        theirs = [(away.user_path, away.user_id)]
        assert list(handed_over(bare.scheduler, theirs)) == [away]
        away._p_deactivate()
        assert list(handed_over(bare.scheduler, [("/acl_users", "other")])) == []
        assert away._p_changed is None

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
        execution = ClaimedExecution(feeder, task.make_task(None), claim)
        connection = SimpleNamespace(get_connection=lambda name: bare.connection)
        env = SimpleNamespace(app=SimpleNamespace(_p_jar=connection))
        with pytest.raises(Retry, match="as many tasks as may wait"):
            execution.save_token(env, digest_of("another"))


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
            with pytest.raises(ReadConflictError):
                manager.commit()

    def test_or_the_other(self, bare, away):
        with connected(bare.database, bare.scheduler._p_oid) as (scheduler, manager):
            cancel(scheduler, away.id, News())
            tell(bare.scheduler, away)
            bare.manager.commit()
            with pytest.raises(ReadConflictError):
                manager.commit()

    def test_or_the_other_when_the_message_is_not_known_to_be_sent(self, bare, sent):
        with connected(bare.database, bare.scheduler._p_oid) as (scheduler, manager):
            put_off(scheduler, scheduler.shards.find(sent.id))
            tell(bare.scheduler, sent)
            bare.manager.commit()
            with pytest.raises(ReadConflictError):
                manager.commit()


class TestSilence:
    @pytest.fixture
    def passes(self, monkeypatch):
        """Return a function that lets time pass."""
        times = SimpleNamespace(now=1000.0)
        for module in (elsewhere, instances):
            monkeypatch.setattr(module, "monotonic", lambda: times.now)

        def passes(seconds):
            times.now += seconds

        return passes

    def test_counts_while_somebody_listens(self, bare, away, passes):
        tell(bare.scheduler, away)
        listening = Listening(60.0)
        away.external.lease = 60.0
        for _ in range(7):
            assert listening.silent([away]) == {}
            passes(10)
        assert listening.silent([away]) == {away.id: 60.0}

    def test_does_not_count_during_an_outage(self, bare, away, passes):
        tell(bare.scheduler, away)
        listening = Listening(60.0)
        away.external.lease = 60.0
        listening.silent([away])
        passes(3600)
        assert listening.silent([away]) == {}
        passes(10)
        assert listening.silent([away]) == {}

    def test_what_has_not_begun_is_silent(self, away, passes):
        listening = Listening(1.0)
        listening.silent([away])
        passes(10)
        assert listening.silent([away]) == {}

    def test_what_nobody_begins_is_lost_in_the_end(self, bare, away):
        away.external.expires = datetime.now(UTC)
        commit(bare)
        bare.see_to(bare.feeder(), see_to_elsewhere)
        record = bare.scheduler.record_of(away)
        assert (record.state, record.attempts) == ("lost", 0)
        assert "no worker has begun it" in record.error.message

    def test_many_are_lost_some_at_a_time(self, bare, sent, monkeypatch):
        monkeypatch.setattr(elsewhere, "AT_ONCE", 1)
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

    @pytest.mark.parametrize(
        ("mine", "other", "state"),
        [
            ("web", "web", "queued"),
            ("web", "celery", "lost"),
            ("celery", "web", "queued"),
            ("celery", "celery", "queued"),
        ],
    )
    def test_one_instance_is_enough(self, bare, away, mine, other, state):
        """The first one by its id; workers of Celery only if there is no other."""
        away.external.expires = datetime.now(UTC)
        look = bare.look(bare.feeder())
        look.instances = {
            id: SimpleNamespace(role=role)
            for id, role in (("", other), (look.me, mine))
        }
        see_to_elsewhere(look)
        assert away.state == state


def test_what_is_discarded_is_taken_from_workers_too(bare, away, monkeypatch):
    monkeypatch.setattr(discarding, "AT_ONCE", 1)
    other = bare.add(call=capture_external("a.b", None, "celery"))
    external = External(digest_of(TOKEN), other.reserve("a"), LIFETIME, SILENCE)
    other.status.send(SimpleNamespace(arguments=()), external)
    hand_over(bare.scheduler, other)
    commit(bare)
    for task in (away, other):
        tell(bare.scheduler, task)
    commit(bare)
    cancel_all(bare.scheduler, take_from_others=True)
    bare.manager.begin()
    assert (away.state, other.state) == ("cancelled", "cancelled")
    assert tell(bare.scheduler, away, "succeeded") == "cancelled"
