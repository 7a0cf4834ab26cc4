"""``@task-queues``: managers see the queues, pause and resume them."""

from collective.background import get_scheduler

import pytest


pytestmark = pytest.mark.usefixtures("resumed")


def test_list(server, boss):
    listing = boss.get("@task-queues").json()
    queue = next(each for each in listing["items"] if each["name"] == "default")
    assert listing["@id"] == f"{server}/plone/@task-queues"
    assert listing["items_total"] == len(listing["items"])
    assert queue == {
        "@id": f"{server}/plone/@task-queues/default",
        "name": "default",
        "slots": get_scheduler().queues()[0].slots,
        "running": 0,
        "waiting": 0,
        "paused": False,
        "sent": 0,
        "cut_off": False,
    }
    assert boss.get("@task-queues/default").json() == queue


def test_pause_and_resume(boss):
    for paused in (True, False):
        answer = boss.patch("@task-queues/default", json={"paused": paused})
        assert answer.json()["paused"] is paused
        assert get_scheduler().queues()[0].paused is paused


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_only_managers(editor, visitor, method):
    for session in (editor, visitor):
        answer = session.request(method, "@task-queues/default", json={"paused": True})
        assert answer.status_code == 401
    assert not get_scheduler().queues()[0].paused


@pytest.mark.parametrize("path", ["@task-queues/other", "@task-queues/default/x"])
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_what_is_not_there(boss, method, path):
    answer = boss.request(method, path, json={"paused": True})
    assert answer.status_code == 404


def test_a_queue_must_be_named(boss):
    assert boss.patch("@task-queues", json={"paused": True}).status_code == 404


@pytest.mark.parametrize("body", [{"paused": 1}, {"slots": 5}, {}])
def test_what_cannot_be_understood_is_refused(boss, body):
    answer = boss.patch("@task-queues/default", json=body)
    assert answer.status_code == 400
    assert '{"paused": true}' in answer.json()["message"]
