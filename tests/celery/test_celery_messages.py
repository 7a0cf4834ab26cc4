"""What a worker of Celery gets of a task, and what it takes for none."""

from collective.background.celery.messages import broker_queue
from collective.background.celery.messages import Message
from collective.background.celery.messages import parse
from collective.background.exceptions import BadMessage

import json
import pytest


PAYLOAD = {
    "deployment": "production",
    "database": "main",
    "scheduler": "00000000000000ff",
    "site": "/Plone",
    "task": "a1b2",
    "oid": "0000000000000100",
    "fence": 3,
}


def test_travels_as_json():
    message = Message(**PAYLOAD)
    assert parse(json.loads(json.dumps(message.payload()))) == message


def test_has_ids_only():
    assert Message(**PAYLOAD).payload() == PAYLOAD


def test_may_be_of_no_deployment():
    assert parse({**PAYLOAD, "deployment": None}).deployment is None


@pytest.mark.parametrize(
    "changed",
    [
        {"deployment": 1},
        {"database": None},
        {"scheduler": "no digits"},
        {"scheduler": "ff"},
        {"oid": "ff"},
        {"oid": None},
        {"site": ["/Plone"]},
        {"task": "x" * 1001},
        {"task": "a1b2\nERROR a line of somebody else"},
        {"fence": "3"},
        {"fence": True},
        {"fence": 3.0},
        {"more": 1},
    ],
)
def test_of_other_values_is_refused(changed):
    with pytest.raises(BadMessage, match="message"):
        parse({**PAYLOAD, **changed})


@pytest.mark.parametrize("payload", [None, [], "text", {}, {"task": "a1b2"}])
def test_of_another_form_is_refused(payload):
    with pytest.raises(BadMessage, match="a message has exactly the fields"):
        parse(payload)


def test_a_queue_has_a_name_of_its_own_at_the_broker():
    assert broker_queue("imports") == "background-imports"
