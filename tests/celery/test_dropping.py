"""Whoever reaches the broker writes anything there: a worker drops it, and goes on."""

from base64 import b64encode
from brokers import RabbitMQ
from brokers import Redis
from celery import Celery
from collective.background.celery.messages import broker_queue
from collective.background.celery.messages import TASK
from contextlib import closing
from itertools import product
from kombu import Connection
from processes import environ
from processes import Leader
from processes import SCRIPTS

import json
import pytest


pytestmark = pytest.mark.slow

QUEUE = broker_queue("default")

# What a message has beside its text.
HEADERS = [
    {},
    {"task": []},
    {"task": {}},
    {"task": "os.system"},
    {"task": "os.system", "id": "1"},
    {"task": TASK},
    {"task": TASK, "id": []},
    {"task": TASK, "id": "1", "timelimit": "text"},
    {"task": TASK, "id": "1", "expires": {}},
    {"task": TASK, "id": "1", "eta": "text"},
    {"task": TASK, "id": "1", "timelimit": [1e300, None]},
    {"task": TASK, "id": "1", "compression": "application/x-gzip"},
    {"task": TASK, "id": "1", "compression": "unknown"},
    {"compression": "unknown"},
]
WELL_FORMED = {"task": TASK, "id": "1", "timelimit": [None, None]}
KINDS = [
    ("application/json", "utf-8"),
    ("application/json", "klingon"),
    ("application/json", "binary"),
    ("application/x-python-serialize", "binary"),
    ("application/x-yaml", "utf-8"),
    ("unknown", "utf-8"),
    ("", ""),
]
DEEP = b"[" * 100_000 + b"]" * 100_000
BODIES = [b"text", b"", b"\xff\xfe\x00", b"[]", b"1", b"null", b'{"task": []}', DEEP]

ADDRESS = {"exchange": QUEUE, "routing_key": QUEUE}
PROPERTIES = {
    "delivery_tag": "tag",
    "delivery_info": ADDRESS,
    "body_encoding": "base64",
}
ODD = [
    *({}, [], None, 1, "text", {"body_encoding": "unknown"}),
    *(PROPERTIES | {"delivery_tag": tag} for tag in (None, [], {}, 1.5)),
    *(PROPERTIES | {"delivery_info": info} for info in (None, {}, [], "text")),
]


def envelope(text=b"[[], {}, {}]", kind=KINDS[0], **changes):
    """Return what is in Redis of a message, as bytes."""
    values = {
        "body": b64encode(text).decode(),
        "content-type": kind[0],
        "content-encoding": kind[1],
        "headers": WELL_FORMED,
        "properties": PROPERTIES,
    }
    return json.dumps(values | changes).encode()


ENVELOPES = [
    *BODIES,
    *(envelope(properties=each) for each in ODD),
    *(envelope(headers=each) for each in (*HEADERS, [], "text", 1)),
    *(envelope(body=each) for each in ("=", "é", 1, None, [])),
    *(envelope(each, kind) for each, kind in product(BODIES, KINDS)),
]


@pytest.fixture
def worker(broker, pool):
    command = (SCRIPTS / "celery", "-A", "noise_probe", "worker", "--pool", pool)
    env = environ(celery_broker=broker.url)
    worker = Leader("worker", *command, "-c", "1", "--loglevel", "INFO", env=env)
    worker.expect("ready.")
    yield worker
    worker.kill()


def is_well(broker, worker, text):
    app = Celery(broker=broker.url, set_as_current=False)
    app.send_task(TASK, (text,), queue=QUEUE, exchange=QUEUE, routing_key=QUEUE)
    worker.expect(f"received {text}", timeout=30)
    assert not worker.lines_with("Unrecoverable error")


class TestRedis:
    @pytest.fixture
    def broker(self):
        with closing(Redis()) as broker:
            yield broker

    @pytest.mark.parametrize("pool", ["prefork", "threads"])
    def test_no_noise_ends_a_worker(self, broker, worker):
        client = broker.client()
        for each in ENVELOPES:
            client.lpush(QUEUE, each)
        is_well(broker, worker, "text")
        for each in ENVELOPES:
            client.publish("/0.celery.pidbox", each)
        is_well(broker, worker, "other text")
        assert not worker.lines_with("Trying to re-establish")
        assert client.hlen("unacked") <= 1  # the last one


@pytest.mark.parametrize("pool", ["prefork"])
class TestRabbitMQ:
    @pytest.fixture
    def broker(self):
        with closing(RabbitMQ()) as broker:
            yield broker

    def test_no_noise_ends_a_worker(self, broker, worker):
        messages = [
            *((b"[[], {}, {}]", KINDS[0], headers) for headers in HEADERS),
            *product(BODIES, KINDS, [{}, WELL_FORMED]),
        ]
        with Connection(broker.url) as connection:
            channel = connection.default_channel
            for body, (type, encoding), headers in messages:
                kind = {"content_type": type, "content_encoding": encoding}
                message = channel.prepare_message(body, headers=headers, **kind)
                channel.basic_publish(message, "", QUEUE)
            is_well(broker, worker, "text")
        left = broker.control("list_queues", "messages", "--no-table-headers")
        assert set(left.split()) == {"0"}
