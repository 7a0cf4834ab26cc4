"""The messenger: what it does when an external task cannot be sent."""

from collective.background.celery import messenger
from collective.background.celery import sending
from collective.background.celery.messenger import Messenger
from collective.background.exceptions import BadMessage
from collective.background.exceptions import NotSent
from collective.background.model.config import Settings
from collective.background.model.external import ExternalMessage
from contextlib import closing
from types import SimpleNamespace

import pytest
import socket


@pytest.fixture
def send(monkeypatch):
    """Return a function that sends a message to a broker, None: there is none."""

    def send(broker, **changes):
        executor = SimpleNamespace(settings=Settings(celery_broker=broker))
        monkeypatch.setattr(messenger, "process_executor", lambda: executor)
        Messenger().send(
            ExternalMessage(
                **{
                    "name": "a.b",
                    "queue": "ingest",
                    "payload": None,
                    "title": "A title",
                    "headers": {},
                    "expires": 60,
                    **changes,
                }
            )
        )

    return send


def test_a_process_without_a_broker_does_not_look_for_one(send):
    with pytest.raises(NotSent, match="celery_broker is not set"):
        send(None)


def test_a_broker_that_says_nothing_is_not_waited_for_without_end(send, monkeypatch):
    monkeypatch.setitem(sending.TIMEOUTS, "socket_timeout", 0.05)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        with pytest.raises(NotSent, match="does not take the message"):
            send(f"redis://:secret@127.0.0.1:{port}/0")


def test_a_message_that_cannot_be_is_not_tried_again(send):
    """The broker has nothing to do with it."""
    with pytest.raises(BadMessage, match="no message can be made of it"):
        send("memory://", payload=object())
