"""What may be large leaves the caches of connections when it was looked at."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import using
from collective.background.database import formats
from collective.background.database.body import Body
from collective.background.database.status import Ending
from collective.background.database.status import Failures
from gated_tasks import note
from helpers import finished
from helpers import result_of

import pytest
import transaction


SHORT = formats.MAX_INLINE - 100
LONG = formats.MAX_INLINE + 100


def produce(size):
    return {"data": b"x" * size}


def fail(size):
    raise ValueError(b"x" * size)


@pytest.fixture
def in_caches(site):
    """Return a function that returns the classes of what is loaded in any connection.

    Of all that may be large.
    """
    names = {f"{cls.__module__}.{cls.__name__}" for cls in (Body, Ending, Failures)}

    def loaded():
        return {
            detail["klass"]
            for detail in site._p_jar.db().cacheExtremeDetail()
            if detail["state"] is not None and detail["klass"] in names
        }

    return loaded


class TestCaches:
    def test_when_a_task_is_scheduled(self, paused, in_caches):
        schedule(produce, SHORT)
        transaction.commit()
        assert in_caches() == set()

    def test_when_it_has_succeeded(self, scheduler, in_caches):
        finished(schedule(produce, SHORT))
        assert in_caches() == set()

    def test_when_its_result_was_read(self, scheduler, in_caches):
        assert result_of(schedule(produce, SHORT)) == produce(SHORT)
        assert in_caches() == set()

    def test_when_it_has_failed(self, scheduler, in_caches):
        record = finished(schedule(fail, SHORT))
        assert in_caches() == set()
        _, exception = scheduler.get_result(record.id)
        assert exception.args == (b"x" * SHORT,)
        assert in_caches() == set()

    def test_when_a_batch_has_ended(self, scheduler, in_caches):
        task_id = schedule_batch(fail, [1, 2, 3], size=2)
        finished(task_id)
        assert in_caches() == set()

    def test_when_its_callbacks_have_ended(self, scheduler, in_caches):
        finished(using(on_success=note).schedule(produce, SHORT))
        scheduler.wait_all(60)
        assert in_caches() == set()

    def test_when_its_arguments_were_shown(self, paused, in_caches):
        task_id = schedule(produce, SHORT)
        transaction.commit()
        assert get_scheduler().arguments(task_id) == (("size", str(SHORT)),)
        assert in_caches() == set()


class TestBlobs:
    """Long pickles are none of the objects: their records stay small."""

    def size_of(self, obj):
        record, _ = obj._p_jar._storage.load(obj._p_oid)
        return len(record)

    @pytest.mark.parametrize("size", [SHORT, LONG])
    def test_results(self, scheduler, size):
        task_id = schedule(produce, size)
        finished(task_id)
        stored = scheduler.shards.find(task_id)
        assert (self.size_of(stored.status.result) < 1000) is (size == LONG)
        assert result_of(task_id) == produce(size)

    def test_arguments(self, scheduler):
        task_id = schedule(len, [0.5] * LONG)
        transaction.commit()
        stored = scheduler.shards.find(task_id)
        assert self.size_of(stored.body) < 5000
        assert result_of(task_id) == LONG

    def test_before_they_are_committed(self, paused):
        task_id = schedule(len, "x" * LONG)
        ((_, text),) = get_scheduler().arguments(task_id)
        assert text.startswith("xxx")
