"""Transactions that schedule tasks at the same time do not get in each other's way."""

from collective.background.capture.call import capture_call
from collective.background.capture.snapshot import Snapshot
from collective.background.capture.snapshot import UserReference
from collective.background.database.private import connected
from collective.background.database.shard import new_id
from collective.background.database.tasks import StoredTask
from collective.background.model.options import Options
from collective.background.scheduling.task import Task
from helpers import TIMEOUT
from threading import Barrier
from threading import Thread
from ZODB.POSException import ConflictError

import pytest
import transaction


THREADS = 8
ROUNDS = 40


def make_task():
    user = UserReference(kind="system", id="system")
    snapshot = Snapshot(site_path="/plone", user=user, request=None)
    return Task(capture_call(len, ("abc",), {}), snapshot, None, Options(), 3600.0)


@pytest.mark.parametrize("paused", [True, False], ids=["waiting", "executed"])
def test_eight_threads_that_schedule(scheduler, paused):
    """Of 320 commits that overlap hardly any is refused, also while tasks are run."""
    if paused:
        scheduler.pause("default")
    transaction.begin()
    barrier = Barrier(THREADS)
    database, oid = scheduler._p_jar.db(), scheduler._p_oid
    transaction.begin()
    conflicts, errors = [], []

    def work():
        try:
            with connected(database, oid) as (mine, manager):
                for _ in range(ROUNDS):
                    barrier.wait()
                    manager.begin()
                    task = make_task()
                    id = new_id(mine._p_jar, task.id)
                    mine.shards.add(StoredTask(task, id, oid))
                    barrier.wait()
                    try:
                        manager.commit()
                    except ConflictError as conflict:
                        conflicts.append(conflict)
                        manager.abort()
        except Exception as error:
            errors.append(error)
            barrier.abort()

    threads = [Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    transaction.begin()
    assert scheduler.count() == THREADS * ROUNDS - len(conflicts)
    assert len(conflicts) <= THREADS * ROUNDS * 0.01
    scheduler.resume("default")
    scheduler.wait_all(TIMEOUT)
    transaction.begin()
    assert scheduler.count(states="succeeded") == THREADS * ROUNDS - len(conflicts)
