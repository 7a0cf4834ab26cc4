"""Inside of a task, Plone works as it does in a request."""

from AccessControl import Unauthorized
from collective.background import schedule
from contextlib import contextmanager
from helpers import finished
from helpers import result_of
from OFS.Folder import Folder
from plone import api
from plone.app.testing import login
from plone.app.testing import setRoles
from plone.app.testing import SITE_OWNER_NAME
from plone.app.testing import TEST_USER_ID
from plone.base.interfaces import IPloneSiteRoot
from plone.dexterity.interfaces import IDexterityContainer
from plone.dexterity.utils import createContentInContainer
from Products.Five.browser import BrowserView
from zope.component import getGlobalSiteManager
from zope.component import getMultiAdapter
from zope.component import getUtility
from zope.component.hooks import getSite
from zope.component.hooks import setSite
from zope.globalrequest import clearRequest
from zope.globalrequest import getRequest
from zope.lifecycleevent.interfaces import IObjectAddedEvent
from zope.security.management import queryInteraction
from zope.site.site import LocalSiteManager
from zope.traversing.interfaces import IBeforeTraverseEvent

import pytest
import threading
import transaction


GONE = "collective.background.exceptions.SiteGone"


@contextmanager
def subscriber(handler, *required):
    """Register an event handler for the time of the block."""
    site_manager = getGlobalSiteManager()
    site_manager.registerHandler(handler, required)
    try:
        yield
    finally:
        site_manager.unregisterHandler(handler, required)


class TestTheCurrent:
    def test_site(self, site):
        def function():
            return (
                api.portal.get().getPhysicalPath(),
                getSite() is not None,
                api.portal.get() == getSite(),
                getUtility(IPloneSiteRoot) == getSite(),
            )

        assert result_of(schedule(function)) == (("", "plone"), True, True, True)

    def test_request(self, site):
        def function():
            request = getRequest()
            return (
                api.portal.get().REQUEST is request,
                [obj.getPhysicalPath() for obj in request["PARENTS"]],
                request.response is request.RESPONSE,
                request.get("TraversalRequestNameStack"),
            )

        assert result_of(schedule(function)) == (True, [("", "plone"), ("",)], True, [])

    def test_thread_and_interaction(self, site):
        def function():
            return threading.get_ident(), queryInteraction() is not None

        thread, interaction = result_of(schedule(function))
        assert thread != threading.get_ident()
        assert interaction

    def test_transaction_is_noted_in_the_undo_log(self, site):
        def function():
            return transaction.get().user, transaction.get().description

        user, description = result_of(schedule(function))
        assert user == "plone test_user_1_"  # as the publisher notes it
        assert "function" in description


class TestCode:
    def test_creates_content_and_the_catalog_finds_it(self, site, folder):
        def function(container):
            api.content.create(container, "Document", "made", title="Made in a task")
            return len(api.content.find(Title="task"))

        assert result_of(schedule(function, folder)) == 1
        (brain,) = api.content.find(Title="task")
        assert brain.getPath() == "/plone/folder/made"
        assert brain.getObject().title == "Made in a task"

    def test_events_of_content_are_sent(self, site, folder):
        seen = []

        def added(content, event):
            seen.append((content.getId(), threading.current_thread().name))

        with subscriber(added, IDexterityContainer, IObjectAddedEvent):
            task_id = schedule(createContentInContainer, folder, "Folder", id="made")
            finished(task_id)
        assert seen == [("made", f"background-default-{task_id}")]

    def test_finds_views(self, site, folder):
        def function(content):
            view = getMultiAdapter((content, getRequest()), name="plone")
            return isinstance(view, BrowserView), view.context == content

        assert result_of(schedule(function, folder)) == (True, True)

    def test_renders_pages(self, site, folder):
        """With the viewlets and portlets of the user."""
        page = result_of(schedule(lambda: folder.restrictedTraverse("listing_view")()))
        assert "<h1" in page and "A folder" in page

    def test_traverses_with_the_rights_of_the_user(self, site, folder):
        def function(content):
            return content.restrictedTraverse("@@plone_context_state").object_title()

        assert result_of(schedule(function, folder)) == "A folder"

        setRoles(site, TEST_USER_ID, ["Member"])
        record = finished(schedule(site.restrictedTraverse, "@@overview-controlpanel"))
        assert record.error.type.endswith(".Unauthorized")

    def test_shows_messages(self, site):
        """They become those of the record."""

        def function():
            api.portal.show_message("It was done.")
            api.portal.show_message("Not all of it.", type="warning")

        record = finished(schedule(function))
        assert [(message.text, message.type) for message in record.messages] == [
            ("It was done.", "info"),
            ("Not all of it.", "warning"),
        ]

    def test_shows_messages_before_it_fails(self, site):
        def function():
            api.portal.show_message("It was begun.")
            raise Unauthorized("No.")

        record = finished(schedule(function))
        assert record.state == "failed"
        assert [message.text for message in record.messages] == ["It was begun."]

    def test_schedules_tasks(self, site, folder):
        """With the same environment."""

        def inner():
            return (
                api.user.get_current().getId(),
                api.portal.get().getPhysicalPath(),
                folder.absolute_url(),
            )

        def outer():
            return schedule(inner)

        here = inner()
        assert result_of(result_of(schedule(outer))) == here


class TestBeforeTraverse:
    """The subscribers with which add-ons prepare a request prepare a task's, too."""

    def test_is_sent_for_the_site(self, site):
        seen = []

        def handler(obj, event):
            seen.append((obj.getPhysicalPath(), event.request is getRequest()))

        with subscriber(handler, IPloneSiteRoot, IBeforeTraverseEvent):
            finished(schedule(max, 1, 2))
        assert seen == [(("", "plone"), True)]

    def test_may_ask_to_be_called_after_traversal(self, site):
        """As in a request; and there is nothing after it in a task."""
        calls = []

        def handler(obj, event):
            event.request.post_traverse(calls.append, ("called",))

        with subscriber(handler, IPloneSiteRoot, IBeforeTraverseEvent):
            assert finished(schedule(max, 1, 2)).state == "succeeded"
        assert calls == []


class TestSites:
    """Other sites than Plone's, and none at all."""

    @pytest.fixture
    def places(self, site):
        """A site in a folder, and one of the same name above it."""
        app = site.getPhysicalRoot()
        places = []
        app._setObject("area", Folder("area"))
        for container in (app, app["area"]):
            container._setObject("small", Folder("small"))
            place = container["small"]
            place.setSiteManager(LocalSiteManager(place, default_folder=False))
            places.append(place)
        transaction.commit()
        return places

    def test_another_site(self, places):
        setSite(places[1])
        task_id = schedule(lambda: getSite().getPhysicalPath())
        assert result_of(task_id) == ("", "area", "small")

    def test_a_site_that_is_gone(self, site):
        """A view by its name, as there is one, is not taken for it."""
        app = site.getPhysicalRoot()
        login(app, SITE_OWNER_NAME)
        task_id = schedule(max, 1, 2)
        app._delObject("plone")
        setSite(None)
        assert app.unrestrictedTraverse("plone", None) is not None
        record = finished(task_id)
        assert record.error.type == GONE
        assert record.error.message == (
            "there is no site at /plone any more: it was deleted, renamed or moved "
            "after the task was scheduled"
        )

    def test_a_site_that_could_be_acquired(self, site, places):
        """Another one of its name, further up, is not taken for it."""
        setSite(places[1])
        task_id = schedule(lambda: getSite().getPhysicalPath())
        site.getPhysicalRoot()["area"]._delObject("small")
        record = finished(task_id)
        assert record.error.type == GONE
        assert "there is no site at /area/small any more" in record.error.message

    def test_no_site(self, site):
        """A task of Zope's root, as its Management Interface might schedule one."""
        app = site.getPhysicalRoot()
        setSite(None)

        def function(application):
            return getSite(), application.getPhysicalPath(), application["plone"].title

        assert result_of(schedule(function, app)) == (None, ("",), site.title)

    def test_no_request(self, site):
        """A script; all else is as ever."""
        clearRequest()

        def function():
            return (
                api.user.get_current().getId(),
                api.portal.get().getPhysicalPath(),
                getRequest().method,
                dict(getRequest().form),
                api.portal.get_current_language(),
            )

        assert result_of(schedule(function)) == (
            "test_user_1_",
            ("", "plone"),
            "GET",
            {},
            "en",
        )

    def test_neither(self, site):
        clearRequest()
        setSite(None)
        assert result_of(schedule(getSite)) is None
