"""What the package offers to the tests of add-ons."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import recurring
from collective.background import schedule
from collective.background import schedule_view
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotCommitted
from collective.background.exceptions import WaitTimeout
from collective.background.model.messages import _
from collective.background.recurring import registration
from collective.background.testing import drain
from collective.background.testing import eager
from collective.background.testing import queues
from collective.background.testing import scheduled
from collective.background.testing import tick
from collective.background.testing import upload
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from helpers import body_of
from helpers import result_of
from plone import api
from processes import environ
from processes import Process
from Products.Five.browser import BrowserView
from threading import Barrier
from threading import current_thread
from threading import Event
from zope.component import getGlobalSiteManager
from zope.component.hooks import getSite
from zope.globalrequest import getRequest
from zope.interface import Interface
from ZPublisher import zpublish
from ZPublisher.HTTPRequest import FileUpload

import pytest
import signal
import sys
import transaction


TIMEOUT = 60  # seconds


def hourly():
    """Called by nobody."""


def add_document(container, id):
    api.content.create(container, "Document", id)


def state():
    """Return what belongs to this thread and its transaction."""
    return (
        transaction.manager.manager,
        getRequest(),
        getSite(),
        api.user.get_current().getId(),
        current_task(),
    )


class TestTick:
    """Whatever else is registered in the process."""

    @pytest.fixture
    def registered(self, monkeypatch):
        monkeypatch.setattr(registration, "decorated", {})
        recurring(
            "0 * * * *",
            user="admin",
            title="Hourly",
            add_on="collective.background",
        )(hourly)

    def test_schedules_what_is_due_from_the_first_call_on(self, site, registered):
        noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
        assert tick(noon) == []
        (id,) = tick(noon + timedelta(hours=3))
        assert get_scheduler().record(id).title == "Hourly"
        assert tick(noon + timedelta(hours=3, minutes=59)) == []


class TestDrain:
    def test_waits_for_all_tasks_and_shows_what_they_did(self, folder):
        for number in range(5):
            schedule(add_document, folder, f"page{number}")
        transaction.commit()
        drain()
        assert len(folder) == 5

    def test_waits_for_tasks_of_tasks(self, folder):
        schedule(lambda folder: schedule(add_document, folder, "page"), folder)
        transaction.commit()
        drain()
        assert list(folder) == ["page"]

    def test_refuses_to_forget_what_is_not_committed(self, tier, folder):
        committed = schedule(add_document, folder, "page")
        transaction.commit()
        using(title=_("The first")).schedule(add_document, folder, "first")
        savepoint = transaction.savepoint()
        using(title="The undone").schedule(add_document, folder, "undone")
        savepoint.rollback()
        using(title="The last").schedule(add_document, folder, "last")
        with pytest.raises(NotCommitted, match="scheduled: 'The first', 'The last';"):
            drain()
        transaction.commit()
        get_scheduler().get_result(committed)  # it forgets, but schedules nothing
        drain()
        assert sorted(folder) == ["first", "last", "page"]

    def test_but_not_what_was_aborted(self, tier, folder):
        schedule(add_document, folder, "page")
        transaction.abort()
        drain()
        assert list(folder) == []

    def test_says_what_has_not_ended_in_time(self, functional):
        end = Event()
        using(title="A long one").schedule(lambda: end.wait(TIMEOUT))
        transaction.commit()
        with pytest.raises(WaitTimeout, match="'A long one'"):
            drain(0)
        end.set()


class TestEager:
    def test_runs_at_the_commit_in_the_same_thread(self, functional):
        threads = []
        with eager():
            schedule(lambda: threads.append(current_thread()))
            assert threads == []
            transaction.commit()
        assert threads == [current_thread()]

    def test_nothing_runs_after_an_abort(self, functional):
        runs = []
        with eager():
            schedule(lambda: runs.append(1))
            transaction.abort()
            transaction.commit()
        assert runs == []

    def test_what_it_did_is_there_in_the_next_transaction(self, folder):
        with eager():
            schedule(add_document, folder, "page")
            transaction.commit()
        transaction.begin()
        assert list(folder) == ["page"]

    def test_it_has_a_connection_of_its_own(self, folder):
        connections = []
        with eager():
            schedule(lambda f: connections.append(f._p_jar), folder)
            transaction.commit()
        assert connections[0] is not folder._p_jar

    def test_the_caller_keeps_what_is_his(self, folder):
        """Transaction manager, request, site, user, and current task."""

        inside = []
        before = state()
        with eager() as scheduler:
            task_id = using(user="admin").schedule(lambda: inside.append(state()))
            transaction.commit()
            assert scheduler.record(task_id).state == "succeeded"
        assert state() == before
        manager, request, site, user, task = inside[0]
        assert manager is not before[0]
        assert request is not before[1]
        assert site.getPhysicalPath() == before[2].getPhysicalPath()
        assert user == "admin" != before[3]
        assert task is not None

    def test_a_changed_object_of_the_caller_is_not_in_the_way(self, folder):
        """The task commits while the caller's commit is not over yet."""

        def rename(content):
            content.title = f"{content.title}, renamed"

        with eager():
            folder.title = "By the caller"
            schedule(rename, folder)
            transaction.commit()
        transaction.begin()
        assert folder.title == "By the caller, renamed"

    def test_a_task_of_a_task_runs_too(self, folder):
        with eager():
            schedule(lambda folder: schedule(add_document, folder, "page"), folder)
            transaction.commit()
        transaction.begin()
        assert list(folder) == ["page"]

    def test_a_failing_task_does_not_hurt_the_caller(self, folder):
        def fail(content):
            content.title = "not to be seen"
            raise SystemExit("it went wrong")

        with eager() as scheduler:
            folder.description = "By the caller"
            task_id = schedule(fail, folder)
            transaction.commit()
            record = scheduler.record(task_id)
        transaction.begin()
        assert record.state == "failed"
        assert record.error.message == "it went wrong"
        assert (folder.title, folder.description) == ("A folder", "By the caller")

    def test_views_are_published_too(self, folder):
        with eager() as scheduler:
            task_id = schedule_view(folder, "view")
            transaction.commit()
            result, _ = scheduler.get_result(task_id)
        assert result.status == 200
        assert b"A folder" in result.body

    def test_it_is_the_scheduler_for_that_time(self, functional):
        usual = get_scheduler()
        with eager() as scheduler:
            assert get_scheduler() is scheduler
        assert get_scheduler() is usual

    def test_the_usual_one_is_back_after_an_error(self, functional):
        usual = get_scheduler()
        with pytest.raises(ValueError, match="of the test"), eager():
            raise ValueError("of the test")
        assert get_scheduler() is usual

    def test_unknown_queues_are_refused_as_usual(self, functional):
        with eager(), pytest.raises(ValueError, match="no queue 'nowhere'"):
            using(queue="nowhere").schedule(int)


class TestScheduled:
    def test_has_a_record_for_each_task(self, folder):
        with scheduled() as records:
            using(title="First", priority=3).schedule(add_document, folder, "page")
            schedule_view(folder, "view")
        first, second = records
        assert (first.title, first.priority, first.kind) == ("First", 3, "call")
        assert first.callable == f"{__name__}.add_document"
        assert first.context_path == "/plone/folder"
        assert (second.kind, second.callable) == ("view", "/plone/folder/view")

    def test_nothing_runs_without_a_commit(self, folder):
        with scheduled():
            schedule(add_document, folder, "page")
            transaction.abort()
        drain()
        assert list(folder) == []

    def test_it_ends_with_the_block(self, functional):
        with scheduled() as records:
            pass
        schedule(int)
        assert records == []

    def test_it_leaves_the_registry_alone(self, functional):
        """Threads of tasks may be looking something up there."""
        registry = getGlobalSiteManager()
        before = list(registry.registeredHandlers())
        with scheduled():
            assert list(registry.registeredHandlers()) == before

    def test_it_goes_together_with_eager(self, folder):
        with eager(), scheduled() as records:
            schedule(lambda folder: schedule(add_document, folder, "page"), folder)
            transaction.commit()
        assert len(records) == 2


class TestQueues:
    def test_they_are_there_for_the_time_of_the_block(self, tier):
        with queues(imports=2, letters=1):
            for name in ("imports", "letters", "default"):
                using(queue=name).schedule(len, name)
            transaction.commit()
            drain()
            assert get_scheduler().count(states="succeeded") == 3
        if tier == "database":
            return  # the instance is known by its queues until its next look
        for name in ("imports", "letters"):
            with pytest.raises(BadOption, match=f"no queue '{name}'"):
                using(queue=name).schedule(len, name)

    def test_so_many_run_at_once(self, functional):
        meeting = Barrier(3, timeout=TIMEOUT)
        with queues(imports=3):
            for _ in range(3):
                using(queue="imports").schedule(lambda: meeting.wait() >= 0)
            transaction.commit()
            drain()
            assert not meeting.broken
            slots = {queue.name: queue.slots for queue in get_scheduler().queues()}
            assert slots == {"default": 2, "imports": 3, "mail": 1}

    def test_with_eager(self, functional):
        with queues(imports=1), eager() as scheduler:
            task_id = using(queue="imports").schedule(len, "abc")
            transaction.commit()
            assert scheduler.record(task_id).state == "succeeded"

    def test_default_may_have_other_slots(self, functional):
        before = get_scheduler().queues()
        with queues(default=1):
            slots = {queue.name: queue.slots for queue in get_scheduler().queues()}
            assert slots["default"] == 1
        assert get_scheduler().queues() == before

    def test_mistakes_change_nothing(self, functional):
        before = get_scheduler().queues()
        with pytest.raises(BadOption, match="imports"), queues(imports=0):
            pass
        assert get_scheduler().queues() == before


def look_at(file):
    return file.filename, file.headers["content-type"], file.read()


class TestUpload:
    SENT = ("a.csv", "text/csv", b"a;b")

    def test_is_as_that_of_a_visitor(self):
        file = upload(b"a;b", "a.csv", "text/csv")
        assert isinstance(file, FileUpload)
        assert look_at(file) == self.SENT
        file.seek(0)
        assert file.read(1) == b"a"

    def test_a_task_has_it(self, tier):
        task_id = schedule(look_at, upload(b"a;b", "a.csv", "text/csv"))
        assert result_of(task_id) == self.SENT

    def test_so_has_a_view(self, tier, folder):
        form = {"file": upload(b"a;b", "a.csv", "text/csv")}
        task_id = schedule_view(folder, "look-at-upload", form)
        assert body_of(task_id) == "a.csv"

    @pytest.fixture(autouse=True)
    def view(self, functional):
        class View(BrowserView):
            __roles__ = None  # public

            @zpublish
            def __call__(self):
                return self.request.form["file"].filename

        required = (Interface, Interface)
        site_manager = getGlobalSiteManager()
        site_manager.registerAdapter(View, required, Interface, "look-at-upload")
        yield
        site_manager.unregisterAdapter(View, required, Interface, "look-at-upload")


SESSION = """
from collective.background import schedule
from collective.background.database.installing import install
from collective.background.database.outbox import current_watch
from collective.background.testing import BACKGROUND_FIXTURE
from collective.background.testing import BACKGROUND_FUNCTIONAL_TESTING
from collective.background.testing import drain
from collective.background.testing import serving
from instance_probe.tasks import answer
from plone.app.testing import FunctionalTesting
from plone.testing.zope import WSGI_SERVER_FIXTURE
from pytest_plone import fixtures_factory
from threading import Event

import requests
import sys
import transaction


HTTP_TESTING = FunctionalTesting(
    bases=(BACKGROUND_FIXTURE, WSGI_SERVER_FIXTURE), name="HTTP"
)
fixtures = ((BACKGROUND_FUNCTIONAL_TESTING, "functional"), (HTTP_TESTING, "http"))
globals().update(fixtures_factory(fixtures))


def keep_in_database(functional):
    install(functional["portal"])
    transaction.commit()


def test_memory(functional):
    schedule(answer, functional["portal"], "memory")
    transaction.commit()


def test_database(functional):
    keep_in_database(functional)
    schedule(answer, functional["portal"], "database")
    transaction.commit()
    drain()


def test_requests(http):
    for method in ("GET", "HEAD"):
        requests.request(method, f"http://{http['host']}:{http['port']}/plone")
    # It would see to what other tests leave in the database, and tick.
    assert current_watch() is None
    keep_in_database(http)
    schedule(answer, http["portal"], "database")
    transaction.commit()
    drain()


def hang():
    sys.stderr.write("a task has begun\\n")
    Event().wait()


def test_endless_memory(functional):
    schedule(hang)
    transaction.commit()
    Event().wait()


def test_endless_database(functional):
    keep_in_database(functional)
    with serving():
        test_endless_memory(functional)
"""


@pytest.mark.slow
class TestSession:
    """A whole run of the tests of an add-on, in a process of its own."""

    @pytest.fixture
    def session(self, tmp_path):
        """Return a function that starts a run of some of the tests above."""
        module = tmp_path / "test_session.py"
        module.write_text(SESSION)
        begun = []

        def session(tests):
            options = ("-s", "-p", "no:cacheprovider", "--rootdir", tmp_path)
            command = (sys.executable, "-m", "pytest", *options, "-k", tests, module)
            process = Process("tests", *command, env=environ())
            begun.append(process)
            return process

        yield session
        for process in begun:
            process.kill()

    def test_ends_without_a_word(self, session):
        process = session("not endless")
        log = process.has_ended()
        assert process.status == 0
        assert log == []

    @pytest.mark.parametrize("place", ["memory", "database"])
    def test_ends_at_a_signal_in_the_midst_of_a_test(self, session, place):
        process = session(f"endless_{place}")
        process.expect("a task has begun")
        process.send(signal.SIGTERM)
        process.has_ended()
        assert process.status == -signal.SIGTERM


class TestLayers:
    """Each test begins with an empty scheduler, whatever the one before did."""

    @pytest.mark.parametrize("time", [1, 2])
    def test_no_record_is_left_from_another_test(self, functional, time):
        assert get_scheduler().records() == []
        schedule(int)
        transaction.commit()

    def test_the_add_on_is_installed(self, integration):
        assert get_scheduler().count() == 0
        assert api.portal.get().portal_setup.getLastVersionForProfile(
            "collective.background:default"
        ) == ("1000",)
