"""What Plone does after a successful request, it does after a commit of a task."""

from collective.background import current_task
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from helpers import failure_of
from helpers import finished
from helpers import TIMEOUT
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from plone import api
from plone.app.testing import TEST_USER_ID
from plone.cachepurging.interfaces import ICachePurgingSettings
from plone.formwidget.namedfile.datamanager import schedule_plone_scale_generate_on_save
from plone.namedfile.file import NamedBlobImage
from plone.registry.interfaces import IRegistry
from queue import Empty
from queue import Queue
from transaction.interfaces import TransientError
from zope.component import getUtility
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from zope.globalrequest import getRequest
from ZPublisher.interfaces import IPubBeforeCommit
from ZPublisher.interfaces import IPubSuccess

import base64
import plone.cachepurging
import purged
import pytest
import threading
import transaction


PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs=")
tried = []


@pytest.fixture
def heard(tier, subscribe):
    """What was there at each success, as (task, user, site, request is the task's)."""
    heard = []

    def hear(event):
        heard.append(
            (
                current_task().id,
                api.user.get_current().getId(),
                api.portal.get().getId(),
                event.request is getRequest(),
            )
        )

    subscribe(IPubSuccess, hear)
    return heard


def work_or_conflict():
    tried.append(None)
    if len(tried) < 3:
        raise TransientError("once more")


def fail():
    raise ValueError("it does not go")


def keep_image(content):
    """Do as the form of an image does."""
    content.image = NamedBlobImage(PIXEL, filename="pixel.gif")
    schedule_plone_scale_generate_on_save(content, getRequest(), "image")


class TestTold:
    def test_once_in_the_environment_of_the_task(self, heard):
        task_id = finished(schedule(len, "four")).id
        assert heard == [(task_id, TEST_USER_ID, "plone", True)]

    def test_of_a_view(self, site, heard):
        task_id = schedule_view(site, "@@plone_context_state/object_url")
        finished(task_id)
        assert heard == [(task_id, TEST_USER_ID, "plone", True)]

    def test_of_each_chunk_of_a_batch(self, heard):
        task_id = finished(schedule_batch(len, ["a", "b", "c"], size=2)).id
        assert [each[0] for each in heard] == [task_id, task_id]

    def test_only_of_the_attempt_that_is_committed(self, heard):
        tried.clear()
        assert finished(schedule(work_or_conflict)).attempts == 3
        assert len(heard) == 1

    def test_not_of_a_failure(self, heard):
        failure_of(schedule(fail))
        assert heard == []

    def test_that_a_page_is_about_to_be_sent_is_told_to_nobody(
        self, tier, site, subscribe
    ):
        """So nothing is transformed that nobody looks at."""
        events = []
        subscribe(IPubBeforeCommit, events.append)
        finished(schedule_view(site, "@@plone_context_state/object_url"))
        assert events == []


class TestSubscribers:
    """Whatever they do: the work is committed, and its task has succeeded."""

    @pytest.mark.parametrize("error", [ValueError, TransientError, SystemExit])
    def test_may_fail(self, tier, subscribe, caplog, error):
        def fail(event):
            raise error("the cache does not answer")

        subscribe(IPubSuccess, fail)
        assert finished(schedule(len, "four")).state == "succeeded"
        assert "what follows a commit has failed" in caplog.text
        assert "the cache does not answer" in caplog.text

    def test_may_commit(self, tier, site, subscribe):
        def change(event):
            api.portal.get().title = "by the subscriber"
            transaction.commit()

        subscribe(IPubSuccess, change)
        assert finished(schedule(len, "four")).state == "succeeded"
        assert site.title == "by the subscriber"

    def test_what_they_do_not_commit_is_undone(self, tier, site, subscribe):
        def change(event):
            api.portal.get().title = "by the subscriber"

        subscribe(IPubSuccess, change)
        assert finished(schedule(len, "four")).state == "succeeded"
        assert site.title != "by the subscriber"

    def test_scales_of_an_image_are_made(self, tier, site, caplog):
        """plone.formwidget.namedfile makes and commits them there."""
        image = api.content.create(site, "Image", "image")
        assert finished(schedule(keep_image, image)).state == "succeeded"
        scales = image.__annotations__["plone.scale"]
        assert {scale["fieldname"] for scale in scales.values()} == {"image"}
        assert not caplog.records


class Cache(ThreadingHTTPServer):
    """Receives what is to be purged: its paths are in ``purged``, a Queue."""

    daemon_threads = True

    class RequestHandlerClass(BaseHTTPRequestHandler):
        def do_PURGE(self):
            self.server.purged.put(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format, *args):
            """Say nothing."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)
        self.purged = Queue()


class TestCaches:
    @pytest.fixture
    def cache(self, tier, functional, monkeypatch):
        """A cache in front of the site."""
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with in_site(None):
            xmlconfig.file(
                "configure.zcml",
                plone.cachepurging,
                context=functional["configurationContext"],
            )
        registry = getUtility(IRegistry)
        registry.registerInterface(ICachePurgingSettings)
        settings = registry.forInterface(ICachePurgingSettings)
        with Cache() as cache:
            settings.enabled = True
            settings.cachingProxies = (f"http://127.0.0.1:{cache.server_port}",)
            transaction.commit()
            thread = threading.Thread(target=cache.serve_forever, args=(0.01,))
            thread.start()
            yield cache
            cache.shutdown()
            thread.join()

    def test_hear_of_what_a_task_has_changed(self, cache, folder):
        assert finished(schedule(purged.change, folder)).state == "succeeded"
        assert "/plone/folder" in cache.purged.get(timeout=TIMEOUT)

    def test_hear_of_each_chunk(self, cache, folder):
        other = api.content.create(api.portal.get(), "Folder", "other")
        items = [folder, api.portal.get(), other]
        record = finished(schedule_batch(purged.change_or_fail, items, size=1))
        assert record.progress.done == 3
        paths = {cache.purged.get(timeout=TIMEOUT) for _ in range(2)}
        assert {path.rpartition("/")[2] for path in paths} >= {"folder"}

    def test_do_not_hear_of_what_was_undone(self, cache, site):
        failure_of(schedule(purged.change_or_fail, site))
        with pytest.raises(Empty):
            cache.purged.get_nowait()
