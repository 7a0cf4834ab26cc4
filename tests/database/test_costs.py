"""What it costs to show tasks does not grow with their number."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.browser.tray import MANY
from collective.background.browser.wholes import newest_wholes
from collective.background.model.records import LOOKED_AHEAD
from collective.background.showing.visibility import count_visible
from collective.background.showing.visibility import visible_records
from helpers import finished
from helpers import waiting
from plone.app.testing import TEST_USER_ID

import pytest
import transaction


TASKS = 250


@pytest.fixture
def many(scheduler, loaded):
    """A site with many tasks that wait for their time, of which none is loaded."""
    ended = finished(schedule(len, "x")).id
    for _ in range(TASKS):
        using(delay=3600).schedule(len, "x")
    transaction.commit()
    scheduler._p_jar.cacheMinimize()
    transaction.begin()
    loaded.clear()
    yield ended
    transaction.abort()
    for record in scheduler.records(limit=None):
        scheduler.remove(record.id)


def test_of_a_poll_and_of_a_page(many, loaded):
    records = newest_wholes(MANY)
    assert records[-1].id == many
    assert len(records) == MANY + 1
    assert len(set(loaded)) <= MANY + 1


def test_of_a_list_of_which_a_page_is_shown(many, loaded):
    assert len(visible_records(everybody=True, limit=10)) == 10
    assert len(set(loaded)) <= 10


def test_of_the_tasks_of_somebody(many, loaded):
    """Also if it is not said in which user folder he is."""
    filters = {"everybody": True, "user_id": TEST_USER_ID}
    assert count_visible(**filters) == TASKS + 1
    assert loaded == []
    assert len(visible_records(limit=10, **filters)) == 10
    assert len(set(loaded)) <= 10
    assert count_visible(everybody=True, user_id="nobody") == 0


def test_of_where_a_task_stands(scheduler, loaded):
    with waiting():
        ids = [schedule(len, "x") for _ in range(LOOKED_AHEAD + 20)]
        transaction.commit()
        scheduler._p_jar.cacheMinimize()
        transaction.begin()
        loaded.clear()
        assert scheduler.lines().standing(ids[-1]).before == LOOKED_AHEAD + 1
        assert len(set(loaded)) == 1
        for id in ids:
            scheduler.remove(id)


def test_of_queues(many, loaded):
    assert get_scheduler().queues()[0].waiting == 0
    assert loaded == []
