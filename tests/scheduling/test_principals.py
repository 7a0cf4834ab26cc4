"""Who gets the id of a deleted user does not inherit his tasks."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.showing.visibility import visible_records
from helpers import add_users
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from plone.app.testing import login
from plone.app.testing import TEST_USER_NAME
from threading import Event

import pytest
import transaction


class Loop:
    """Of the test that runs: when its task has begun, and when it was stopped."""

    begun = Event()


def work_until_cancelled():
    Loop.begun.set()
    deadline = Event()
    while not deadline.wait(0.005):
        current_task().check_cancelled()


def note_user(record):
    called_back.append((record.title, api.user.get_current().getId()))


called_back = []


@pytest.fixture
def portal(site, tier):
    add_users(site, {"ann": [], "bob": []})
    Loop.begun.clear()
    login(site, "ann")
    return site


def delete(portal, user_id):
    login(portal, TEST_USER_NAME)
    api.user.delete(username=user_id)


def test_what_has_ended_is_forgotten(portal):
    task_id = finished(schedule(int)).id
    delete(portal, "ann")
    assert get_scheduler().record(task_id) is not None
    transaction.commit()
    assert get_scheduler().record(task_id) is None
    add_users(portal, {"ann": []})
    login(portal, "ann")
    assert visible_records() == []


def test_what_waits_does_not_start(portal):
    with waiting():
        task_id = schedule(int)
        transaction.commit()
        delete(portal, "ann")
        transaction.commit()
        assert get_scheduler().record(task_id) is None


def test_what_runs_is_stopped_and_forgotten(portal, until):
    task_id = schedule(work_until_cancelled)
    transaction.commit()
    assert Loop.begun.wait(TIMEOUT)
    delete(portal, "ann")
    transaction.commit()

    def is_gone():
        transaction.begin()
        return get_scheduler().record(task_id) is None

    until(is_gone)


def test_nothing_is_forgotten_when_the_user_stays(portal):
    task_id = finished(schedule(int)).id
    delete(portal, "ann")
    transaction.abort()
    assert get_scheduler().record(task_id) is not None


def test_tasks_of_others_stay(portal):
    task_id = finished(schedule(int)).id
    delete(portal, "bob")
    transaction.commit()
    assert get_scheduler().record(task_id) is not None


def test_of_a_user_of_the_root_with_the_same_id_they_stay(portal):
    app = portal.aq_parent
    add_users(app, {"ann": ["Manager"]})
    login(app, "ann")
    task_id = finished(schedule(int)).id
    delete(portal, "ann")
    transaction.commit()
    assert get_scheduler().record(task_id) is not None


def test_who_gets_the_id_is_not_called_back_by_groups(portal):
    """Tasks of others are in it, and go on."""
    called_back.clear()
    with waiting():
        for user_id in ("ann", "bob"):
            login(portal, user_id)
            with group(
                title=f"Of {user_id}", on_success=note_user, on_failure=note_user
            ):
                using(user="bob").schedule(int)
        transaction.commit()
        delete(portal, "ann")
        transaction.commit()
        add_users(portal, {"ann": ["Manager"]})
    get_scheduler().wait_all(TIMEOUT)
    assert called_back == [("Of bob", "bob")]
