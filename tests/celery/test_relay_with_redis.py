"""The relay with a broker that is a process of its own, and goes away."""

from brokers import Redis
from collective.background.celery import relay as relaying
from collective.background.celery.messages import broker_queue
from collective.background.celery.relay import Relay
from collective.background.celery.sending import Sender
from collective.background.database.claims import Claim
from collective.background.database.holding import Held
from collective.background.database.relaying import Parcel
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import Executor
from collective.background.model.config import Settings
from contextlib import closing
from helpers import TIMEOUT
from kombu import Connection
from math import inf
from queue import Queue
from threading import Event
from types import SimpleNamespace

import pytest


pytestmark = pytest.mark.slow


@pytest.fixture
def redis():
    with closing(Redis()) as server:
        yield server


@pytest.fixture
def relay(redis, monkeypatch):
    monkeypatch.setattr(relaying, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(relaying, "LONGEST_PAUSE", 0.05)
    redis.stop()
    executor = Executor(Settings(celery_broker=redis.url))
    relay = Relay(executor, Sender(executor.settings))
    relay.start()
    yield relay
    relay.stop()
    relay.leave(Deadline(TIMEOUT))
    assert not relay._thread.is_alive()


def until(condition):
    for _ in range(int(TIMEOUT / 0.01)):
        if condition():
            return
        Event().wait(0.01)
    raise AssertionError(condition)


def test_it_comes_back_twice(redis, relay):
    given_back = Queue()
    feeder = SimpleNamespace(path="/Plone", oid=bytes(8), give_back=given_back.put)

    def send(id):
        claim = Claim(id=id, oid=bytes(8), fence=1, database_name="main")
        held = Held(claim, "default", sent_at=0.0)
        relay.send(Parcel(feeder=feeder, held=held, title=id, hard_timeout=inf))
        return held

    for id in ("first", "second"):
        until(lambda: relay.is_cut_off)
        assert relay.queues == frozenset()
        redis.start()
        until(lambda: relay.queues)
        send(id)
        with (
            Connection(redis.url) as broker,
            broker.SimpleQueue(broker_queue("default")) as messages,
        ):
            message = messages.get(timeout=TIMEOUT)
            message.ack()
        assert message.headers["shadow"] == id
        redis.stop()
        held = send("in vain")
        assert given_back.get(timeout=TIMEOUT) is held
