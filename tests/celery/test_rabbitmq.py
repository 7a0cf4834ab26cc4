"""Who sends to RabbitMQ: nothing waits for it without end, whatever it does."""

from brokers import RabbitMQ
from collective.background.celery import sending
from collective.background.celery.messages import broker_queue
from collective.background.celery.sending import connection_to
from collective.background.celery.sending import post
from contextlib import closing
from helpers import TIMEOUT
from kombu.exceptions import OperationalError
from time import monotonic

import pytest


pytestmark = pytest.mark.slow

QUEUE = broker_queue("default")


@pytest.fixture(scope="module")
def broker():
    with closing(RabbitMQ()) as broker:
        yield broker


def send(connection, number):
    post(connection, "a.task", number, queue=QUEUE)


def received(broker):
    """Return the argument of the next message."""
    with (
        closing(connection_to(broker.url)) as connection,
        connection.SimpleQueue(QUEUE) as messages,
    ):
        message = messages.get(timeout=TIMEOUT)
        message.ack()
        return message.payload[0][0]


@pytest.mark.parametrize("has_sent", [True, False])
def test_its_memory_is_full(broker, monkeypatch, has_sent):
    connection = connection_to(broker.url)
    connection.ensure_connection(max_retries=0)
    if has_sent:
        send(connection, 1)
        assert received(broker) == 1
    with broker.full():
        with monkeypatch.context() as patch:
            patch.setattr(sending, "SENDING", 0.5)
            with pytest.raises(OperationalError):
                send(connection, 2)
        began = monotonic()
        connection.release()
        assert monotonic() - began < sending.SENDING / 2
    with closing(connection_to(broker.url)) as connection:
        send(connection, 3)
    # The first of them has got there all the same, which does no harm.
    assert [received(broker), received(broker)] == [2, 3]


def test_it_is_started_again(broker):
    connection = connection_to(broker.url)
    send(connection, 1)
    broker.stop()
    with pytest.raises(OperationalError):
        send(connection, 2)
    with pytest.raises(OperationalError):
        connection.ensure_connection(max_retries=0)
    broker.start()
    with closing(connection_to(broker.url)) as connection:
        send(connection, 3)
    assert [received(broker), received(broker)] == [1, 3]
