"""Discarding what a copy of the database has, some tasks in each transaction."""

from another import Another
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.deployment import discard
from collective.background.deployment import is_foreign

import transaction


def states_of(*ids):
    transaction.begin()
    return [get_scheduler().record(id).state for id in ids]


def test_more_than_one_transaction_has(idle_site, staging):
    for _ in range(60):
        schedule(len, "x")
    transaction.commit()
    discard(idle_site)
    transaction.commit()
    assert get_scheduler().count(states="cancelled") == 60


def test_what_was_running_elsewhere_is_cancelled(idle_site, copied):
    """Though it may run again, and even if it was done: nobody is told of it."""
    running = using(rerun=True).schedule(len, "x")
    done = using(on_success=len).schedule(len, "x")
    transaction.commit()
    Another().begins(running)
    Another("third:1:abcd").commits(done, result=1)
    transaction.commit()
    discard(copied)
    transaction.commit()
    assert states_of(running, done) == ["cancelled", "succeeded"]
    assert not list(get_scheduler().shards.waiting())
    assert not list(filter(None, get_scheduler().holdings.values()))


def test_a_large_group_that_is_about_to_be_tried_again(idle_site, copied):
    with group() as large:
        for _ in range(60):
            schedule(len, "x")
    transaction.commit()
    get_scheduler().cancel(large.id)
    discard(copied)
    transaction.commit()
    get_scheduler().retry(large.id)
    discard(copied)
    transaction.commit()
    assert get_scheduler().count(states="queued") == 0


def test_when_it_is_aborted_the_site_is_as_foreign_as_before(idle_site, copied):
    task_id = schedule(len, "x")
    transaction.commit()
    discard(copied)
    transaction.abort()
    assert is_foreign(copied)
    assert states_of(task_id) == ["cancelled"]
