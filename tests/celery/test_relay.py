"""The relay: what it sends, and what it does while the broker cannot be reached."""

from collective.background.celery import relay as relaying
from collective.background.celery.messages import broker_queue
from collective.background.celery.messages import Message
from collective.background.celery.messages import parse
from collective.background.celery.relay import begin
from collective.background.celery.relay import Relay
from collective.background.celery.sending import Sender
from collective.background.database.claims import Claim
from collective.background.database.holding import Held
from collective.background.database.relaying import Parcel
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import Executor
from collective.background.model.config import CELERY
from collective.background.model.config import Settings
from helpers import TIMEOUT
from kombu import Connection
from math import inf
from processes import free_port
from queue import Queue
from threading import Event
from types import SimpleNamespace

import logging
import pytest
import sys


MEMORY = "memory://"


class Feeder:
    """That of a site; ``given_back`` receives the ids of tasks that were not sent.

    ``refused``: of those that cannot be sent at all, with their Outcomes.
    """

    path = "/Plone"
    oid = bytes(7) + b"\x05"

    def __init__(self):
        self.given_back = Queue()
        self.refused = Queue()

    def give_back(self, held):
        self.given_back.put(held.claim.id)

    def ended(self, held, ended, seconds):
        self.refused.put((held.claim.id, ended))


class Broker:
    """Stands for a broker that may be away; ``sent`` receives the Parcels."""

    def __init__(self):
        self.is_away = False
        self.tries = Queue()
        self.sent = Queue()

    def connect(self):
        self.tries.put(self.is_away)
        if self.is_away:
            raise ConnectionError("nobody listens")

    def send(self, parcel):
        if self.is_away:
            raise ConnectionError("the connection is gone")
        self.sent.put(parcel)

    def close(self):
        pass


@pytest.fixture
def executor():
    return Executor(Settings(celery_broker=MEMORY, deployment="production"))


@pytest.fixture
def feeder():
    return Feeder()


@pytest.fixture
def start(executor, monkeypatch):
    """Return a function that starts a Relay."""
    monkeypatch.setattr(relaying, "FIRST_PAUSE", 0.01)
    made = []

    def start(sender):
        relay = Relay(executor, sender)
        made.append(relay)
        relay.start()
        return relay

    yield start
    for relay in made:
        relay.stop()
        relay.leave(Deadline(TIMEOUT))
        assert relay.is_alive()  # it has ended in order


def parcel(feeder, id="a1b2", queue="default", title="A title", hard_timeout=inf):
    claim = Claim(id=id, oid=bytes(8), fence=3, database_name="main")
    held = Held(claim, queue, sent_at=0.0)
    return Parcel(feeder=feeder, held=held, title=title, hard_timeout=hard_timeout)


def received(queue):
    """Return the next message of a queue at the broker."""
    with Connection(MEMORY) as connection:
        name = broker_queue(queue)
        with connection.SimpleQueue(name) as messages:
            message = messages.get(timeout=TIMEOUT)
            message.ack()
            return message


def refuse(parcel):
    raise ConnectionError("it is full")


def until(relay, is_cut_off):
    wait = Event()
    for _ in range(int(TIMEOUT / 0.01)):
        if relay.is_cut_off == is_cut_off:
            return
        wait.wait(0.01)
    raise AssertionError(is_cut_off)


class TestMessages:
    @pytest.fixture
    def relay(self, executor, start):
        return start(Sender(executor.settings))

    def test_have_ids_only(self, relay, feeder):
        relay.send(parcel(feeder, title="Secret plans"))
        message = received("default")
        ((payload,), kwargs, _) = message.payload
        assert parse(payload) == Message(
            deployment="production",
            database="main",
            scheduler="0000000000000005",
            site="/Plone",
            task="a1b2",
            oid="0000000000000000",
            fence=3,
        )
        assert kwargs == {}
        assert message.content_type == "application/json"

    def test_are_what_celery_shows(self, relay, feeder, executor):
        relay.send(parcel(feeder, title="A title", hard_timeout=30))
        headers = received("default").headers
        assert headers["task"] == "collective.background.run"
        assert headers["id"] == "a1b2.3"
        assert headers["shadow"] == "A title"
        assert headers["timelimit"] == [30, None]
        assert headers["ignore_result"] is True
        assert headers["eta"] is None
        assert headers["expires"] is not None
        assert headers["retries"] == 0

    def test_go_to_the_queue_of_the_task(self, relay, feeder):
        relay.send(parcel(feeder, id="1", queue="imports"))
        relay.send(parcel(feeder, id="2", queue="mail"))
        assert received("mail").headers["id"] == "2.3"
        assert received("imports").headers["id"] == "1.3"
        assert relay.backlog() == {"imports": 1, "mail": 1}

    def test_of_what_was_given_back_meanwhile_are_not_sent(self, executor, feeder):
        broker = Broker()
        relay = Relay(executor, broker)
        first, second = parcel(feeder, id="1"), parcel(feeder, id="2")
        relay.send(first)
        relay.send(second)
        relay.forget(first.held)
        relay.start()
        assert broker.sent.get(timeout=TIMEOUT) is second
        assert broker.sent.empty()
        relay.stop()
        relay.leave(Deadline(TIMEOUT))


class TestOneThatCannotBeSent:
    """It is the parcel's fault, and the broker is there all the same."""

    @pytest.fixture
    def relay(self, executor, start):
        return start(Sender(executor.settings))

    def test_it_fails_and_the_others_are_sent(self, relay, feeder):
        odd = parcel(feeder, id="two\nlines")
        relay.send(odd)
        relay.send(parcel(feeder, id="good"))
        assert received("default").headers["id"] == "good.3"
        id, outcome = feeder.refused.get(timeout=TIMEOUT)
        assert (id, outcome.state) == (odd.held.claim.id, "failed")
        assert not relay.is_cut_off
        assert feeder.given_back.empty()


class TestItsThread:
    def test_has_ended_for_a_reason_that_nobody_has_thought_of(self, executor, start):
        broker = Broker()
        broker.connect = sys.exit
        relay = Relay(executor, broker)
        relay.start()
        relay.leave(Deadline(TIMEOUT))
        assert executor.dead() == ["Relay"]
        assert relay.queues == frozenset()


class TestABrokerThatIsAway:
    @pytest.fixture
    def broker(self):
        return Broker()

    def test_nothing_is_reserved(self, start, broker, caplog):
        broker.is_away = True
        relay = start(broker)
        until(relay, is_cut_off=True)
        assert relay.queues == frozenset()

    def test_it_is_tried_again_and_said_once(self, start, broker, caplog, executor):
        broker.is_away = True
        relay = start(broker)
        for _ in range(4):
            assert broker.tries.get(timeout=TIMEOUT)
        broker.is_away = False
        until(relay, is_cut_off=False)
        assert relay.queues == {"default", "mail"}
        lines = [line for line in caplog.records if line.name == relaying.__name__]
        assert [line.levelno for line in lines] == [logging.ERROR]
        assert "the broker cannot be reached" in lines[0].getMessage()

    def test_the_password_is_not_in_the_log(self, executor, start, caplog):
        settings = Settings(celery_broker=f"redis://me:secret@127.0.0.1:{free_port()}")
        relay = start(Sender(settings))
        until(relay, is_cut_off=True)
        assert "the broker cannot be reached" in caplog.text
        assert "secret" not in caplog.text

    def test_what_cannot_be_sent_is_given_back(self, start, broker, feeder):
        relay = start(broker)
        until(relay, is_cut_off=False)
        assert not broker.tries.get(timeout=TIMEOUT)
        broker.is_away = True
        for id in ("1", "2"):
            relay.send(parcel(feeder, id=id))
            assert feeder.given_back.get(timeout=TIMEOUT) == id
            if id == "1":
                until(relay, is_cut_off=True)
                broker.is_away = False
                until(relay, is_cut_off=False)
                broker.is_away = True

    def test_one_that_takes_nothing_is_tried_less_and_less(
        self, start, broker, feeder, caplog
    ):
        """Though it can be reached, as a Redis that is full."""
        broker.send = refuse
        relay = start(broker)
        for number in range(4):
            broker.tries.get(timeout=TIMEOUT)
            relay.send(parcel(feeder, id=str(number)))
            feeder.given_back.get(timeout=TIMEOUT)
        assert relay._pause >= 8 * relaying.FIRST_PAUSE
        lines = [line for line in caplog.records if line.name == relaying.__name__]
        assert [line.levelno for line in lines] == [logging.ERROR]
        broker.send = broker.sent.put
        broker.tries.get(timeout=TIMEOUT)
        relay.send(parcel(feeder, id="last"))
        assert broker.sent.get(timeout=TIMEOUT).held.claim.id == "last"

    def test_the_process_lives_and_works(self, start, broker, executor):
        broker.is_away = True
        until(start(broker), is_cut_off=True)
        assert executor.dead() == []
        assert executor.troubles() == []

    def test_the_end_of_the_process_does_not_wait_for_it(self, start, broker):
        broker.is_away = True
        relay = start(broker)
        until(relay, is_cut_off=True)
        relay.stop()
        assert relay.leave(Deadline(TIMEOUT)) == []
        assert not relay._thread.is_alive()


def test_without_a_broker_there_is_no_relay():
    executor = Executor(Settings())
    begin(SimpleNamespace(executor=executor))
    assert executor.relay is None


def test_a_worker_of_celery_sends_nothing():
    executor = Executor(Settings(celery_broker=MEMORY, role=CELERY))
    begin(SimpleNamespace(executor=executor))
    assert executor.relay is None
