"""What of a request is there in its tasks, and what is not."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_view
from collective.background.exceptions import NotPortable
from collective.background.model.spool import MEMORY_LIMIT
from collective.background.testing import scheduled
from helpers import body_of
from helpers import finished
from helpers import kept_files
from helpers import result_of
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from plone.app.event.base import default_timezone
from plone.protect.authenticator import createToken
from urllib.parse import quote
from zope.component import getGlobalSiteManager
from zope.globalrequest import getRequest
from zope.i18n import translate
from zope.i18n.interfaces import ITranslationDomain
from zope.i18n.simpletranslationdomain import SimpleTranslationDomain
from zope.i18nmessageid import MessageFactory
from zope.interface import alsoProvides
from zope.interface import directlyProvidedBy
from zope.interface import Interface
from ZPublisher import HTTPRequest
from ZPublisher.HTTPRequest import FileUpload

import datetime
import io
import logging
import pytest
import transaction
import types


HELLO = MessageFactory("test.background")("hello")


class IMarkedByHand(Interface):
    """A marker that code gives to a request."""


def both(function):
    """Return what schedules a function and calls it; in a view."""
    return lambda view: (function(), schedule(function))


def form_of_request():
    request = getRequest()
    return request.method, dict(request.form)


def upload_of(argument=None):
    """Return all that an upload has. ``argument``: or that of the form."""
    upload = argument or getRequest().form["upload"]
    first = upload.read(5)
    upload.seek(0)
    return {
        "class": type(upload),
        "filename": upload.filename,
        "headers": list(upload.headers.items()),
        "content-type": upload.headers.get("content-type"),
        "first": first,
        "content": upload.read(),
        "end": upload.tell(),
        "line": upload.seek(0) or upload.readline(),
        "true": bool(upload),
    }


def make_upload(data, filename="a file.txt"):
    field = types.SimpleNamespace(
        file=io.BytesIO(data),
        headers={"content-type": "text/plain"},
        filename=filename,
        name="upload",
    )
    return FileUpload(field)


def language():
    return api.portal.get_current_language(), translate(HELLO, context=getRequest())


def choices():
    """Return the layers in their order, and the skin."""
    layers = [layer.__identifier__ for layer in directlyProvidedBy(getRequest())]
    return layers, api.portal.get().getCurrentSkinName()


@pytest.fixture
def languages(site):
    """English and German, negotiated; and a text that is there in both."""
    registry = {
        "plone.available_languages": ["en", "de"],
        "plone.use_cookie_negotiation": True,
        "plone.set_cookie_always": False,
        "plone.use_request_negotiation": True,
        "plone.use_content_negotiation": False,
    }
    for name, value in registry.items():
        api.portal.set_registry_record(name, value)
    transaction.commit()
    messages = {("en", "hello"): "Hello", ("de", "hello"): "Hallo"}
    domain = SimpleTranslationDomain("test.background", messages)
    site_manager = getGlobalSiteManager()
    site_manager.registerUtility(domain, ITranslationDomain, name="test.background")
    yield
    site_manager.unregisterUtility(domain, ITranslationDomain, name="test.background")


class TestForm:
    def test_fields(self, visit):
        here, task_id = visit(
            both(form_of_request),
            method="POST",
            data={
                "text": "Grüße",
                "list:list": ["one", "two"],
                "number:int": "7",
                "when:date": "2026-11-24",
                "inner.a:record": "1",
                "rows.a:records": ["1", "2"],
            },
        )
        method, form = result_of(task_id)
        assert (method, form) == here
        assert method == "POST"
        assert form["text"] == "Grüße"
        assert form["list"] == ["one", "two"]
        assert form["number"] == 7
        assert form["inner"].a == "1"
        assert [row.a for row in form["rows"]] == ["1", "2"]

    def test_query(self, visit):
        here, task_id = visit(both(form_of_request), params={"a": "1", "b:list": "2"})
        assert here == ("GET", {"a": "1", "b": ["2"]})
        assert result_of(task_id) == here

    def test_fields_of_the_log_in_and_other_passwords_are_left_out(self, visit):
        _, task_id = visit(
            both(form_of_request),
            method="POST",
            data={
                "__ac_name": "admin",
                "__ac_password": "secret",
                "__ac": "cookie",
                "form.widgets.Password_ctl": "secret",
                "text": "kept",
                "user.password:record": "secret",
                "user.name:record": "kept",
            },
        )
        method, form = result_of(task_id)
        assert (method, set(form)) == ("POST", {"text", "user"})
        assert vars(form["user"]) == {"name": "kept"}

    def test_nor_are_they_kept_in_records(self, visit):
        fields = {"login.name:record": "ann", "login.password:record": "secret"}
        _, task_id = visit(both(form_of_request), method="POST", data=fields)
        _, form = result_of(task_id)
        assert vars(form["login"]) == {"name": "ann"}

    def test_what_code_has_put_into_it(self, visit, caplog):
        """It cannot all be carried; the log has what was left behind."""

        def view(view):
            view.request.form.update(
                when=datetime.date(2026, 11, 24), view=view, content=view.context
            )
            return schedule(form_of_request)

        with caplog.at_level(logging.WARNING):
            task_id = visit(view)
        _, form = result_of(task_id)
        assert sorted(form) == ["content", "when"]
        assert form["content"].getPhysicalPath() == ("", "plone")
        assert "form['view'] is left behind" in caplog.text

    def test_is_a_copy(self, visit):
        """What the rest of the request does to its form is its own affair."""

        def view(view):
            task_id = schedule(form_of_request)
            view.request.form["list"].append("later")
            return task_id

        task_id = visit(view, params={"list:list": "1"})
        assert result_of(task_id) == ("GET", {"list": ["1"]})


class TestUploads:
    @pytest.mark.parametrize("size", [10, MEMORY_LIMIT * 3])
    def test_in_the_form(self, visit, size):
        """It can be read after the request has ended, as often as one likes."""
        data = b"line\n" * (size // 5)
        files = {"upload": ("Grüße.txt", data, "text/plain; charset=utf-8")}
        here, task_id = visit(both(upload_of), method="POST", files=files)
        assert here["content"] == data
        assert here["content-type"] == "text/plain; charset=utf-8"
        assert here["filename"] == "Grüße.txt"
        assert result_of(task_id) == here

    @pytest.mark.parametrize("size", [10, MEMORY_LIMIT * 3])
    def test_as_an_argument(self, visit, size):
        data = b"line\n" * (size // 5)
        here, task_id = visit(
            lambda view: (
                upload_of(view.request["upload"]),
                schedule(upload_of, view.request["upload"]),
            ),
            method="POST",
            files={"upload": ("file.txt", data, "text/plain")},
        )
        assert result_of(task_id) == here

    def test_of_the_request_stays_where_it_stands(self, site):
        upload = make_upload(b"0123456789")
        upload.seek(3)
        schedule(upload_of, upload)
        assert upload.read() == b"3456789"

    def test_tasks_of_a_transaction_share_them(self, site):
        before = kept_files()
        upload = make_upload(bytes(MEMORY_LIMIT + 1))
        getRequest().form["upload"] = upload
        with waiting():
            ids = [schedule(upload_of, upload) for _ in range(3)]
            assert len(kept_files() - before) == 1
            transaction.commit()
        lengths = {len(result_of(task_id)["content"]) for task_id in ids}
        assert lengths == {MEMORY_LIMIT + 1}
        assert kept_files() <= before

    def test_every_attempt_reads_from_the_beginning(self, site):
        attempts = []

        def read(upload):
            attempts.append(upload.read())
            if len(attempts) < 2:
                raise transaction.interfaces.TransientError()

        finished(schedule(read, make_upload(b"0123456789")))
        assert attempts == [b"0123456789", b"0123456789"]

    def test_long_ones_are_on_disk_until_the_task_has_ended(self, site):
        before = kept_files()
        with waiting():
            task_id = schedule(upload_of, make_upload(bytes(MEMORY_LIMIT + 1)))
            transaction.commit()
            assert len(kept_files() - before) == 1
        assert len(result_of(task_id)["content"]) == MEMORY_LIMIT + 1
        assert kept_files() <= before

    def test_those_of_a_failed_task_are_there_for_another_try(self, site):
        before = kept_files()
        attempts = []

        def fail(upload):
            attempts.append(len(upload.read()))
            if len(attempts) < 2:
                raise ValueError("The first time.")

        task_id = schedule(fail, make_upload(bytes(MEMORY_LIMIT + 1)))
        assert finished(task_id).state == "failed"
        assert len(kept_files() - before) == 1
        get_scheduler().retry(task_id)
        assert get_scheduler().wait(task_id, TIMEOUT).state == "succeeded"
        assert attempts == [MEMORY_LIMIT + 1] * 2
        assert kept_files() <= before

    @pytest.mark.parametrize("how", ["remove", "abort", "savepoint"])
    def test_those_of_a_task_that_is_forgotten_are_gone(self, site, how):
        before = kept_files()
        with waiting():
            savepoint = transaction.savepoint()
            task_id = schedule(upload_of, make_upload(bytes(MEMORY_LIMIT + 1)))
            assert len(kept_files() - before) == 1
            if how == "remove":
                transaction.commit()
                get_scheduler().remove(task_id)
            elif how == "abort":
                transaction.abort()
            else:
                savepoint.rollback()
            assert kept_files() <= before


class TestSecrets:
    """A task knows its user from elsewhere; nothing of a visitor can name another."""

    HEADERS = {  # noqa: RUF012
        "Authorization": "Basic bm9ib2R5OnNlY3JldA==",
        "Cookie": "__ac=secret; I18N_LANGUAGE=de; __cp=the clipboard; other=secret",
        "Forwarded": "for=secret",
        "X-Forwarded-For": "secret",
        "X-Forwarded-Host": "secret",
        "X-Forwarded-User": "secret",
        "X-Remote-User": "secret",
        "X-Task-User-Id": "secret",
        "Proxy-Authorization": "secret",
        "Referer": "http://localhost/?token=secret",
        "User-Agent": "a browser",
        "Accept-Language": "de",
    }

    def test_headers_and_cookies(self, visit):
        def look():
            request = getRequest()
            return dict(request.environ), dict(request.cookies), request._auth

        task_id = visit(lambda view: schedule(look), headers=self.HEADERS, auth=None)
        environ, cookies, auth = result_of(task_id)
        assert {name for name in environ if name.startswith("HTTP_")} == {
            "HTTP_HOST",
            "HTTP_ACCEPT",
            "HTTP_ACCEPT_LANGUAGE",
            "HTTP_USER_AGENT",
            "HTTP_X_THEME_ENABLED",  # plone.app.theming sets it itself
        }
        assert "secret" not in str(environ)
        assert "REMOTE_USER" not in environ
        assert cookies == {"I18N_LANGUAGE": "de", "__cp": "the clipboard"}
        assert auth is None

    def test_nothing_is_kept_with_the_task(self, visit):
        """Not even where nobody would read it."""
        with scheduled() as records:
            visit(
                lambda view: schedule(max, 1, 2),
                headers=self.HEADERS,
                auth=None,
                method="POST",
                data={"__ac_password": "secret"},
            )
        (record,) = records
        assert "secret" not in repr(record)
        assert finished(record.id).user_id is None


def test_pasting_from_the_clipboard(visit, site, folder):
    """Plone's own view finds what the visitor has copied."""
    api.content.create(folder, "Document", "page")
    api.content.create(site, "Folder", "target")
    clipboard = folder.manage_copyObjects(["page"])
    transaction.commit()
    form = {"folder": "/target", "_authenticator": createToken()}
    task_id = visit(
        lambda view: schedule_view(view.context, "@@fc-paste", form, method="POST"),
        headers={"Cookie": f"__cp={quote(clipboard)}"},
    )
    assert '"status": "success"' in body_of(task_id)
    assert "page" in site["target"]


class TestAddresses:
    def test_of_the_visitor(self, visit):
        """For those who write it down."""

        def look():
            request = getRequest()
            return request["REMOTE_ADDR"], request.getClientAddr()

        headers = {"X-Forwarded-For": "192.0.2.1"}
        task_id = visit(lambda view: schedule(look), headers=headers)
        assert result_of(task_id) == ("127.0.0.1", "127.0.0.1")

    @pytest.mark.parametrize("trusted", [["127.0.0.1"], ["127.0.0.1", "192.0.2.1"]])
    def test_of_the_visitor_behind_a_proxy(self, visit, monkeypatch, trusted):
        """What Zope has found out is not looked at again."""

        def look():
            request = getRequest()
            return request["REMOTE_ADDR"], request.getClientAddr()

        monkeypatch.setattr(HTTPRequest, "trusted_proxies", trusted)
        headers = {"X-Forwarded-For": "198.51.100.7, 192.0.2.1"}
        here, task_id = visit(both(look), headers=headers)
        assert result_of(task_id) == here

    @pytest.mark.parametrize("host", ["[::1", "example.org:port"])
    def test_a_header_that_is_none(self, visit, host):
        """It is told at once, and not by a task that fails."""
        with pytest.raises(NotPortable, match="its header 'Host' is wrong"):
            visit(lambda view: schedule(max, 1, 2), headers={"Host": host})


class TestLanguage:
    @pytest.mark.parametrize("code", ["en", "de"])
    def test_of_the_header(self, visit, languages, code):
        here, task_id = visit(both(language), headers={"Accept-Language": code})
        assert here == (code, {"en": "Hello", "de": "Hallo"}[code])
        assert result_of(task_id) == here

    def test_of_the_cookie(self, visit, languages):
        """It comes before the header."""
        here, task_id = visit(
            both(language),
            headers={"Accept-Language": "en"},
            cookies={"I18N_LANGUAGE": "de"},
        )
        assert here == ("de", "Hallo")
        assert result_of(task_id) == here

    def test_of_the_site(self, visit, languages):
        here, task_id = visit(both(language))
        assert here == ("en", "Hello")
        assert result_of(task_id) == here

    def test_chosen_by_code(self, visit, languages):
        def view(view):
            view.request["LANGUAGE"] = view.request["LANGUAGE_TOOL"].LANGUAGE = "de"
            return language(), schedule(language)

        here, task_id = visit(view)
        assert here == ("de", "Hallo")
        assert result_of(task_id) == here

    def test_of_the_path(self, multilingual_visit):
        """plone.app.multilingual: a folder for each language."""
        here, task_id = multilingual_visit(both(language), "/plone/de")
        assert here[0] == "de"
        assert result_of(task_id) == here
        here, task_id = multilingual_visit(both(language), "/plone/en")
        assert here[0] == "en"
        assert result_of(task_id) == here


class TestBrowserLayers:
    def test_of_the_site(self, visit):
        here, task_id = visit(both(choices))
        assert "collective.background.interfaces.ICollectiveBackgroundLayer" in here[0]
        assert result_of(task_id) == here

    def test_marked_by_hand(self, visit):
        def view(view):
            alsoProvides(view.request, IMarkedByHand)
            return choices(), schedule(choices)

        here, task_id = visit(view)
        assert f"{__name__}.IMarkedByHand" in here[0]
        assert result_of(task_id) == here

    def test_skin(self, visit, site):
        skins = site.portal_skins
        skins.addSkinSelection("Another", "custom", make_default=0)
        transaction.commit()

        def view(view):
            view.context.changeSkin("Another", view.request)
            return choices(), schedule(choices)

        here, task_id = visit(view)
        assert here[1] == "Another"
        assert result_of(task_id) == here


def test_time_zone_of_the_user(visit, site):
    api.user.get_current().setMemberProperties({"timezone": "Asia/Tokyo"})
    transaction.commit()
    here, task_id = visit(both(default_timezone))
    assert here == "Asia/Tokyo"
    assert result_of(task_id) == here
