"""What Celery knows of a message before a process of a worker has it."""

from collective.background.celery import worker
from collective.background.celery.app import app
from collective.background.celery.messages import TASK
from collective.background.celery.requests import WellFormed
from math import nan
from types import SimpleNamespace

import pytest


def request(payload=None, **headers):
    """Return the request that a message makes, which has these further headers.

    ``payload``: what it has beside them; None: what is sent usually.
    """
    made = app.amqp.as_task_v2("an id", TASK, args=[{}])
    message = SimpleNamespace(
        headers={**made.headers, **headers},
        properties=made.properties,
        payload=made.body if payload is None else payload,
        body=made.body,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={},
    )
    return WellFormed(message, app=app)


def test_it_is_what_the_task_uses():
    assert worker.run.Request is WellFormed


@pytest.mark.parametrize("limits", [None, [None, None], [2.5, None], [3, 2]])
def test_one_may_have_limits(limits):
    made = request(timelimit=limits)
    assert (made.id, tuple(made.time_limits)) == ("an id", tuple(limits or [None] * 2))


LIMITS = ["2", 0, -1, nan, [], {}, 10**400]


@pytest.mark.parametrize(
    "headers",
    [
        *({"timelimit": [limit, None]} for limit in LIMITS),
        *({"timelimit": [None, limit]} for limit in LIMITS),
        *({"timelimit": limit} for limit in ("text", 1, [1], [1, 2, 3])),
        *({"id": id} for id in ([], {}, 1, None)),
    ],
)
def test_one_is_malformed(headers):
    with pytest.raises((TypeError, ValueError)):
        request(**headers)


@pytest.mark.parametrize(
    "payload",
    [
        *([], [[], {}], [{}, {}, {}], [[], [], {}], [[], {}, []], "text", 1),
        [[], {}, {"callbacks": [{"task": "another"}]}],
        [[], {}, {"chain": [{"task": "another"}]}],
    ],
)
def test_one_has_an_odd_payload(payload):
    with pytest.raises((AttributeError, TypeError, ValueError)):
        request(payload)


def test_one_is_for_later():
    with pytest.raises(ValueError, match="not sent by this package"):
        request(eta="2999-01-01T00:00:00+00:00")
