"""Nothing of a task's environment is left, however the task has ended."""

from AccessControl.SecurityManagement import _managers
from AccessControl.SecurityManagement import getSecurityManager
from Acquisition import aq_base
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.capture.pickling import pack
from collective.background.capture.snapshot import capture_snapshot
from collective.background.capture.snapshot import find_database
from collective.background.capture.users import UserReference
from collective.background.environment.application import Environment
from collective.background.environment.application import environment
from collective.background.exceptions import ReferenceGone
from collective.background.exceptions import SiteGone
from collective.background.exceptions import UserGone
from collective.background.running import retrying
from collective.background.testing import drain
from collective.background.testing import eager
from contextlib import contextmanager
from dataclasses import replace
from helpers import finished
from helpers import waiting
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from plone import api
from plone.base.interfaces import IPloneSiteRoot
from Products.CMFCore.Skinnable import SKINDATA
from threading import get_ident
from ZEO.Exceptions import ClientDisconnected
from zope.annotation.interfaces import IAnnotations
from zope.component import getGlobalSiteManager
from zope.component.hooks import getSite
from zope.component.hooks import setSite
from zope.globalrequest import clearRequest
from zope.globalrequest import getRequest
from zope.publisher.interfaces import IEndRequestEvent
from zope.security.management import endInteraction
from zope.security.management import newInteraction
from zope.security.management import queryInteraction
from zope.traversing.interfaces import IBeforeTraverseEvent

import pytest
import threading
import transaction


class Broken(Exception):
    """Raised on purpose."""


def open_connections(database):
    return sum(info["opened"] is not None for info in database.connectionDebugInfo())


def thread_state(database):
    """Return all that belongs to this thread."""
    return {
        "request": getRequest(),
        "site": getSite(),
        "security manager": getSecurityManager(),
        "user": getSecurityManager().getUser(),
        "interaction": queryInteraction(),
        "skin": SKINDATA.get(get_ident()),
        "transaction manager": transaction.manager.manager,
        "connections": open_connections(database),
    }


def process_state(database):
    """Return how much there is of what a thread might leave behind."""
    return {
        "connections": open_connections(database),
        "threads": {thread.name for thread in threading.enumerate()},
    }


def left_by_threads():
    """Return for which threads there is a security manager, or a skin."""
    return {*_managers, *SKINDATA}


@contextmanager
def failing(*required):
    """Register a subscriber that raises Broken."""

    def subscriber(*args):
        raise Broken

    site_manager = getGlobalSiteManager()
    site_manager.registerHandler(subscriber, required)
    try:
        yield
    finally:
        site_manager.unregisterHandler(subscriber, required)


@pytest.fixture
def database(site):
    return find_database()


@pytest.fixture
def snapshot(site):
    return capture_snapshot()


@pytest.fixture(params=["in a request", "in a thread without anything"])
def state(request, site, database, snapshot):
    """What the thread has around the environment: all, or nothing."""
    if request.param == "in a request":
        site.setupCurrentSkin(site.REQUEST)
        newInteraction()
    else:
        clearRequest()
        setSite(None)
        SKINDATA.pop(get_ident(), None)
    transaction.commit()
    yield thread_state(database)
    endInteraction()
    SKINDATA.pop(get_ident(), None)


class TestInTheSameThread:
    """Every step of the environment may fail."""

    def test_it_is_another_one(self, state, snapshot, database):
        with environment(snapshot, database) as env:
            inside = thread_state(database)
            assert inside["request"] is env.request is not state["request"]
            assert aq_base(inside["site"]) is not aq_base(state["site"])
            assert inside["interaction"] is not state["interaction"]
            assert inside["connections"] == state["connections"] + 1
        assert thread_state(database) == state

    def test_the_code_fails(self, state, snapshot, database):
        with pytest.raises(Broken), environment(snapshot, database) as env:
            env.site.title = "Changed"
            raise Broken
        assert thread_state(database) == state

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
    def test_the_code_ends_the_thread(self, state, snapshot, database, error):
        with pytest.raises(error), environment(snapshot, database):
            raise error
        assert thread_state(database) == state

    def test_the_code_changes_all_of_it(self, state, snapshot, database):
        with environment(snapshot, database):
            setSite(None)
            clearRequest()
            endInteraction()
            SKINDATA.pop(get_ident(), None)
            getSecurityManager().addContext(object())
        assert thread_state(database) == state

    def test_a_change_is_not_committed(self, site, snapshot, database):
        transaction.commit()
        before = site.title
        with environment(snapshot, database) as env:
            env.site.title = "Changed"
        transaction.commit()
        assert site.title == before

    def test_the_request_cannot_be_made(self, state, snapshot, database):
        def make_request(snapshot):
            raise Broken

        with pytest.raises(Broken), environment(snapshot, database, make_request):
            pytest.fail("there is no environment")
        assert thread_state(database) == state

    @pytest.mark.parametrize("path", ["/missing", "/plone/missing", "/plone/plone"])
    def test_the_site_is_gone(self, state, snapshot, database, path):
        snapshot = replace(snapshot, site_path=path)
        with pytest.raises(SiteGone), environment(snapshot, database):
            pytest.fail("there is no environment")
        assert thread_state(database) == state

    def test_a_subscriber_to_traversal_fails(self, state, snapshot, database):
        with (
            failing(IPloneSiteRoot, IBeforeTraverseEvent),
            pytest.raises(Broken),
            environment(snapshot, database),
        ):
            pytest.fail("there is no environment")
        assert thread_state(database) == state

    @pytest.mark.parametrize(
        "user",
        [
            UserReference(kind="user", id="missing", folder="/plone/acl_users"),
            UserReference(kind="user", id="missing", folder="/missing/acl_users"),
            UserReference(kind="emergency", id="missing"),
        ],
    )
    def test_the_user_is_gone(self, state, snapshot, database, user):
        snapshot = replace(snapshot, user=user)
        with pytest.raises(UserGone), environment(snapshot, database):
            pytest.fail("there is no environment")
        assert thread_state(database) == state

    def test_content_in_the_form_is_gone(self, site, folder, database):
        site.REQUEST.form["content"] = folder
        snapshot = capture_snapshot()
        assert snapshot.request.form.data != pack({}).data
        api.content.delete(folder)
        transaction.commit()
        state = thread_state(database)
        with pytest.raises(ReferenceGone), environment(snapshot, database):
            pytest.fail("there is no environment")
        assert thread_state(database) == state

    def test_a_step_of_undoing_fails(self, state, snapshot, database, caplog):
        """The others are made all the same, and the log has it."""
        with failing(IEndRequestEvent), environment(snapshot, database):
            pass
        assert thread_state(database) == state
        assert "undoing the environment failed" in caplog.text


class TestEagerTasks:
    """They run in the thread that commits, which is in the middle of a request."""

    @pytest.mark.parametrize("error", [None, Broken, SystemExit])
    def test_leave_the_thread_as_it_was(self, state, database, error):
        def function():
            api.portal.get().title = "Changed"
            if error is not None:
                raise error

        with eager() as scheduler:
            task_id = schedule(function)
            transaction.commit()
            record = scheduler.record(task_id)
            if state["site"] is None:
                # There is nothing to change.
                assert record.state == "failed"
            else:
                assert record.state == ("failed" if error else "succeeded")
        assert thread_state(database) == state

    def test_leave_the_transaction_as_it_was(self, site):
        """What was committed is there, and one can go on."""
        with eager():
            site.title = "Before"
            schedule(lambda: None)
            transaction.commit()
            site.title = "After"
            transaction.commit()
        site._p_jar.cacheMinimize()
        assert site.title == "After"


def test_two_hundred_tasks_leave_nothing(site, database):
    """Good ones and bad ones, in their threads."""
    # Each has one of its own, so that there are no conflicts.
    mappings = [PersistentMapping() for number in range(41)]
    IAnnotations(site)["test"] = PersistentList(mappings)
    content = api.content.create(site, "Document", "gone")

    def write(mapping):
        mapping["user"] = api.user.get_current().getId()
        mapping["address"] = api.portal.get().absolute_url()

    def fail(mapping):
        write(mapping)
        raise Broken

    def leave(mapping):
        write(mapping)
        raise SystemExit

    def spoil(mapping):
        setSite(None)
        clearRequest()
        transaction.doom()

    def gone(mapping):
        return content.Title()

    schedule(write, mappings[0])
    transaction.commit()
    drain()
    before, left = process_state(database), left_by_threads()

    with waiting():
        task_ids = [
            schedule(function, mapping)
            for mapping in mappings[1:]
            for function in (write, fail, leave, spoil, gone)
        ]
        transaction.commit()
        api.content.delete(content)
        transaction.commit()
    drain()

    states = [get_scheduler().record(task_id).state for task_id in task_ids]
    assert states == ["succeeded", "failed", "failed", "failed", "failed"] * 40
    assert all(mapping == mappings[0] for mapping in mappings)
    after = process_state(database)
    assert after["connections"] == before["connections"]
    # Less is possible: threads of other tests end, and their ids are used again.
    assert after["threads"] <= before["threads"]
    assert left_by_threads() <= left


def test_without_zope(site):
    """In a process without any database, the environment is empty."""
    clearRequest()
    setSite(None)
    snapshot = capture_snapshot()
    assert snapshot.site_path is None and snapshot.request is None
    with environment(snapshot, None) as env:
        assert env == Environment(app=None, request=None, site=None)
        assert getRequest() is None


class Away:
    """A synchronizer that fails as RelStorage's connections do in an outage."""

    def beforeCompletion(self, transaction):
        """Nothing to do."""

    newTransaction = beforeCompletion

    def afterCompletion(self, transaction):
        raise ClientDisconnected("simulated")


def test_a_connection_of_which_the_transaction_cannot_be_aborted(
    folder, caplog, monkeypatch
):
    monkeypatch.setattr(retrying, "uniform", lambda low, high: 0)
    before = open_connections(find_database())
    left = [Away()]

    def work(folder):
        folder.title = "changed"
        if left:
            transaction.manager.registerSynch(left[0])
            kept.append(left.pop())
            raise ValueError

    kept = []
    assert finished(schedule(work, folder)).attempts == 2
    drain()
    assert open_connections(find_database()) == before
    assert "the database is away; _close() failed" in caplog.text
    assert "Traceback" not in caplog.text
