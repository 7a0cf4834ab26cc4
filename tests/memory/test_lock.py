"""Nothing of others is called under the scheduler's lock."""

from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.interfaces import ITaskEvent
from collective.background.telling.events import EVENTS
from collective.background.telling.events import TaskScheduled
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from threading import Thread
from ZODB.POSException import ConflictError

import pytest
import transaction


def fail():
    raise ValueError("no")


def tell(record):
    """A callback."""


@pytest.fixture
def seen(scheduler, subscribe):
    """What has happened, as pairs: an event's class, and whether others could read."""
    seen = []

    def note(event):
        reader = Thread(target=scheduler.count)
        reader.start()
        reader.join(TIMEOUT)
        seen.append((type(event), not reader.is_alive()))

    subscribe(ITaskEvent, note)
    return seen


def test_no_event_is_sent_under_it(scheduler, seen, gate):
    runs = []

    def conflict_once():
        runs.append(1)
        if len(runs) == 1:
            raise ConflictError

    with group(on_failure=tell):
        first = using(retries=1, backoff=0).schedule(fail)
        using(after=first).schedule(int)
    schedule(conflict_once)
    schedule_batch(abs, [1], inline_below=10)
    finished(first)
    scheduler.wait_all(TIMEOUT)
    with waiting():
        scheduler.retry(first)
        scheduler.cancel(first)
    schedule(gate.task)
    transaction.commit()
    gate.wait()
    scheduler.drain(0)
    assert {kind for kind, _ in seen} == {TaskScheduled, *EVENTS.values()}
    assert all(others_could_read for _, others_could_read in seen)
