"""Why a task waits, in both tiers."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.showing.waiting import Reasons
from helpers import waiting
from zope.i18n import translate

import transaction


def reason(task_id):
    found = Reasons().of(get_scheduler().record(task_id))
    return None if found is None else translate(found)


def test_is_said_until_it_begins(tier, site):
    with waiting():
        first = using(title="First step").schedule(int)
        second = using(after=first).schedule(int)
        transaction.commit()
        assert get_scheduler().record(second).after == (first,)
        assert reason(first) == "the queue is paused"
        assert reason(second) == "after “First step”"
    get_scheduler().wait_all(60)
    transaction.begin()
    assert get_scheduler().record(second).after == ()
    assert (reason(first), reason(second)) == (None, None)


def test_is_not_said_of_what_only_waits_for_a_slot(site):
    task_id = schedule(int)
    assert reason(task_id) is None
    transaction.abort()
