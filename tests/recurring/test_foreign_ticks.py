"""Recurring tasks of a site that belongs to another deployment."""

from collective.background import get_scheduler
from collective.background.database.installing import install
from collective.background.deployment import adopt
from collective.background.deployment import discard
from collective.background.recurring import listing
from collective.background.recurring.state import KEY
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from zope.annotation.interfaces import IAnnotations

import pytest
import transaction


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "database"])
def foreign(request, database, register, copied):
    """The site, in either tier, with a task that is due each hour."""
    if request.param == "database":
        install(copied)
        transaction.commit()
    register()
    return copied


def number_of_tasks():
    transaction.begin()
    return get_scheduler().count()


def test_nothing_is_started_or_written(foreign, look_at):
    look_at(NOON)
    look_at(NOON + HOUR)
    assert number_of_tasks() == 0
    assert KEY not in IAnnotations(foreign)


def test_adopted_they_go_on(foreign, look_at):
    adopt(foreign)
    transaction.commit()
    look_at(NOON)
    look_at(NOON + HOUR)
    assert number_of_tasks() == 1


def test_discarded_they_are_off(foreign, look_at):
    discard(foreign)
    transaction.commit()
    look_at(NOON)
    look_at(NOON + HOUR)
    assert number_of_tasks() == 0
    assert [status.enabled for status in listing()] == [False]
