"""``eager()``, wherever the site has its tasks."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from collective.background import using
from collective.background.database import outbox
from collective.background.database.installing import install
from collective.background.exceptions import BadCall
from collective.background.exceptions import NotPortable
from collective.background.exceptions import Retry
from collective.background.testing import drain
from collective.background.testing import eager
from collective.background.testing import serving
from plone import api
from threading import current_thread
from threading import enumerate as threads
from zope.component.hooks import getSite
from zope.globalrequest import getRequest

import pytest
import transaction


YEAR = 365 * 24 * 3600.0  # seconds

seen = []


@pytest.fixture(params=["memory", "database"])
def place(request, site):
    """Where the tasks of the site live; nobody executes them."""
    if request.param == "database":
        install(site)
        transaction.commit()
    del seen[:]
    yield request.param
    transaction.abort()


def state():
    """Return what belongs to this thread and its transaction."""
    return (
        transaction.manager.manager,
        getRequest(),
        getSite(),
        api.user.get_current().getId(),
        current_task() and current_task().id,
    )


def look():
    seen.append((current_thread(), state()))


def add_document(container, id):
    api.content.create(container, "Document", id)


def schedule_another(folder):
    add_document(folder, "first")
    schedule(add_document, folder, "second")


def fail(content):
    content.title = "not to be seen"
    raise SystemExit("it went wrong")


def fail_twice():
    seen.append(current_task().id)
    if len(seen) < 3:
        raise Retry("not yet", delay=YEAR)


def rename(content):
    content.title = f"{content.title}, renamed"


def tell(record):
    seen.append(record.state)


class TestEager:
    def test_it_runs_at_the_commit_in_the_same_thread(self, place):
        before = state()
        with eager() as scheduler:
            assert get_scheduler() is scheduler
            task_id = using(user="admin").schedule(look)
            assert seen == []
            transaction.commit()
            assert scheduler.record(task_id).state == "succeeded"
        assert state() == before
        ((thread, inside),) = seen
        assert thread is current_thread()
        manager, request, site, user, task = inside
        assert manager is not before[0]
        assert request is not before[1]
        assert site.getPhysicalPath() == before[2].getPhysicalPath()
        assert (user, task) == ("admin", task_id)

    def test_nothing_runs_after_an_abort(self, place):
        with eager():
            schedule(look)
            transaction.abort()
            transaction.commit()
        assert seen == []

    def test_it_begins_with_what_was_committed(self, place, folder):
        with eager():
            folder.title = "By the caller"
            schedule(rename, folder)
            transaction.commit()
            assert folder.title == "By the caller, renamed"

    def test_tasks_of_tasks(self, place, folder):
        with eager():
            schedule(schedule_another, folder)
            transaction.commit()
        transaction.begin()
        assert sorted(folder) == ["first", "second"]

    def test_one_after_the_other_a_group_and_its_callback(self, place, folder):
        with eager() as scheduler:
            with group(on_success=tell) as both:
                first = schedule(add_document, folder, "one")
                using(after=first).schedule(rename, folder)
            transaction.commit()
            assert scheduler.record(both.id).state == "succeeded"
        assert seen == ["succeeded"]

    def test_a_batch_and_a_view(self, place, folder):
        with eager() as scheduler:
            batch = schedule_batch(len, ["a", "bc"], size=1)
            view = schedule_view(folder, "view")
            transaction.commit()
            assert scheduler.get_result(batch)[0].done == 2
            assert b"A folder" in scheduler.get_result(view)[0].body

    def test_nothing_waits_for_its_time(self, place):
        with eager() as scheduler:
            later = using(delay=YEAR).schedule(look)
            again = schedule(fail_twice)
            transaction.commit()
            assert scheduler.record(later).state == "succeeded"
            assert scheduler.record(again).state == "succeeded"

    def test_a_failing_task_does_not_hurt_the_caller(self, place, folder):
        with eager() as scheduler:
            folder.description = "By the caller"
            task_id = using(on_failure=tell).schedule(fail, folder)
            transaction.commit()
            record = scheduler.record(task_id)
        assert (record.state, record.error.message) == ("failed", "it went wrong")
        assert (folder.title, folder.description) == ("A folder", "By the caller")
        assert seen == ["failed"]

    def test_what_is_tried_again_runs_at_once(self, place, folder):
        with eager() as scheduler:
            task_id = schedule(add_document, folder, "page")
            add_document(folder, "page")
            transaction.commit()
            assert scheduler.record(task_id).state == "failed"
            api.content.delete(folder["page"])
            transaction.commit()
            scheduler.retry(task_id)
            transaction.begin()
            assert scheduler.record(task_id).state == "succeeded"


class TestInTheDatabase:
    @pytest.fixture(autouse=True)
    def in_database(self, site):
        install(site)
        transaction.commit()
        del seen[:]
        yield
        transaction.abort()

    def test_what_is_refused_there_is_refused(self):
        with eager(), pytest.raises(NotPortable):
            schedule(lambda: None)

    def test_no_thread_begins_and_nothing_is_left(self):
        before = threads()
        with eager() as scheduler:
            task_id = schedule(look)
            transaction.commit()
            assert threads() == before
        assert outbox.current_watch() is None
        transaction.begin()
        assert len(scheduler.holdings) == 1  # the one that is nobody's
        assert scheduler.record(task_id).instance
        assert scheduler.instances() == []

    def test_afterwards_all_is_as_usual(self):
        with eager():
            transaction.commit()
        schedule(look)
        transaction.commit()
        assert seen == []
        drain()
        ((thread, _),) = seen
        assert thread is not current_thread()

    def test_a_paused_queue_waits(self):
        with eager() as scheduler:
            scheduler.pause("default")
            using(delay=1).schedule(look)
            schedule(look)
            transaction.commit()
            assert seen == []
            scheduler.resume("default")
            assert len(seen) == 2

    def test_drain_finds_nothing_left_to_do(self, folder):
        with eager() as scheduler:
            schedule(rename, folder)
            transaction.commit()
            drain()
            assert scheduler.count(states="succeeded") == 1

    def test_within_another_one_it_changes_nothing(self, folder):
        with eager():
            with eager() as scheduler:
                inner = schedule(rename, folder)
                transaction.commit()
            outer = schedule(rename, folder)
            transaction.commit()
            assert scheduler.record(inner).state == "succeeded"
            assert scheduler.record(outer).state == "succeeded"

    def test_not_together_with_threads(self):
        with serving(), pytest.raises(BadCall, match="within serving"), eager():
            pass
