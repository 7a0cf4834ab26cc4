"""``Prefer: respond-async``: calls of the REST API that are done as tasks."""

from collective.background import get_scheduler
from helpers import add_users
from helpers import TIMEOUT
from plone import api
from plone.app.redirector.interfaces import IRedirectionStorage
from sessions import PREFER
from zope.component import getUtility
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from zope.i18n import translate

import io
import pytest
import sys
import transaction
import zipfile


POLICY = """
<configure xmlns:plone="http://namespaces.plone.org/plone">
  <include package="plone.rest" file="meta.zcml" />
  <plone:CORSPolicy allow_origin="http://example.org" />
</configure>
"""


class TestAccepted:
    def test_answers_at_once_with_the_address_of_the_task(self, server, tree, editor):
        get_scheduler().pause("default")
        try:
            answer = editor.post(
                "target/@copy", json={"source": "/folder"}, headers=PREFER
            )
            task = answer.json()
            assert answer.status_code == 202
            assert answer.headers["Preference-Applied"] == "respond-async"
            assert answer.headers["Location"] == f"{server}/plone/@tasks/{task['id']}"
            assert task["@id"] == answer.headers["Location"]
            assert task["title"] == "Copying an item to /target"
            assert task["state"] == "queued"
            assert task["user_id"] == "editor1"
            assert task["context_path"] == "/plone/target"
            transaction.begin()
            assert "folder" not in api.portal.get()["target"]
        finally:
            get_scheduler().resume("default")

    @pytest.mark.parametrize("host", ["[::1", "localhost:99999999"])
    def test_with_an_address_that_is_none_it_is_done_at_once(self, tree, editor, host):
        answer = editor.post(
            "target/@copy",
            json={"source": "/folder"},
            headers={**PREFER, "Host": host},
        )
        assert answer.status_code != 202
        assert "Preference-Applied" not in answer.headers
        assert get_scheduler().records() == []

    def test_clients_of_other_origins_may_read_the_answer(
        self, functional, tree, editor
    ):
        """As they may that of the call, where the site has such a policy."""
        with in_site(None):
            xmlconfig.string(POLICY, context=functional["configurationContext"])
        headers = {**PREFER, "Origin": "http://example.org"}
        answer = editor.post(
            "target/@copy", json={"source": "/folder"}, headers=headers
        )
        get_scheduler().wait(answer.json()["id"], TIMEOUT)
        assert answer.headers["Access-Control-Allow-Origin"] == "http://example.org"


class TestCalls:
    """What the client gets in the end is what the call would have answered."""

    def test_copy(self, server, tree, later):
        record, result = later("POST", "target/@copy", json={"source": "/folder"})
        assert record.state == "succeeded"
        target = f"{server}/plone/target/folder"
        assert result.status_code == 200
        assert result.json() == [{"source": f"{server}/plone/folder", "target": target}]
        copied = api.portal.get()["target"]["folder"]["inner"]["page"]
        assert copied.title == "A page"
        assert copied.getOwner().getId() == "editor1"

    def test_move(self, tree, later):
        _, result = later("POST", "target/@move", json={"source": "/folder/inner"})
        assert result.status_code == 200
        assert "inner" not in api.portal.get()["folder"]
        assert "page" in api.portal.get()["target"]["inner"]

    def test_publish_with_children(self, tree, later):
        _, result = later(
            "POST", "folder/@workflow/publish", json={"include_children": True}
        )
        assert result.json()["review_state"] == "published"
        page = api.portal.get()["folder"]["inner"]["page"]
        assert api.content.get_state(page) == "published"

    def test_delete(self, tree, later):
        record, result = later("DELETE", "folder/inner")
        assert translate(record.title) == "Deleting “Inner”"
        assert result.status_code == 204
        assert result.content == b""
        assert "inner" not in api.portal.get()["folder"]

    def test_create(self, server, tree, later):
        _, result = later(
            "POST", "target", json={"@type": "Document", "id": "new", "title": "Ü"}
        )
        assert result.status_code == 201
        assert result.headers["Location"] == f"{server}/plone/target/new"
        assert result.json()["title"] == "Ü"

    def test_change(self, tree, later):
        _, result = later("PATCH", "folder/inner/page", json={"title": "Changed"})
        assert result.status_code == 204
        assert api.portal.get()["folder"]["inner"]["page"].title == "Changed"

    def test_sharing(self, tree, later, boss):
        entries = [{"id": "editor2", "type": "user", "roles": {"Reader": True}}]
        _, result = later("POST", "folder/@sharing", boss, json={"entries": entries})
        assert result.status_code == 204
        assert dict(api.portal.get()["folder"].get_local_roles())["editor2"] == (
            "Reader",
        )

    def test_other_preferences(self, tree, editor, later):
        prefer = {"Prefer": "return=representation"}
        change = {"json": {"title": "Changed"}}
        at_once = editor.patch("folder/inner", headers=prefer, **change)
        record, result = later(
            "PATCH", "folder/inner", prefer="return=representation", **change
        )
        assert record.state == "succeeded", record.error
        assert result.status_code == at_once.status_code == 200
        assert result.json()["title"] == at_once.json()["title"] == "Changed"

    def test_below_the_marker_of_the_api(self, tree, editor):
        """The address says that it is the REST API, not the header."""
        editor.headers["Accept"] = "text/html"
        accepted = editor.post(
            "++api++/target/@copy", json={"source": "/folder"}, headers=PREFER
        )
        get_scheduler().wait(accepted.json()["id"], TIMEOUT)
        transaction.begin()
        assert "folder" in api.portal.get()["target"]

    def test_content_that_was_renamed_meanwhile(self, tree, editor):
        get_scheduler().pause("default")
        accepted = editor.patch(
            "folder/inner", json={"title": "Changed"}, headers=PREFER
        )
        transaction.begin()
        api.content.rename(api.portal.get()["folder"]["inner"], "renamed")
        transaction.commit()
        get_scheduler().resume("default")
        record = get_scheduler().wait(accepted.json()["id"], TIMEOUT)
        transaction.begin()
        assert record.state == "succeeded", record.error
        assert api.portal.get()["folder"]["renamed"].title == "Changed"


class TestFiles:
    """Services that give or take files, in forms and answers of their own types."""

    @pytest.fixture
    def manager(self, functional, site, session_of):
        """Who may use the services of plone.exportimport, which Plone 6.2 has."""
        pytest.importorskip("plone.exportimport.services")
        with in_site(None):
            xmlconfig.file(
                "configure.zcml",
                sys.modules["plone.exportimport"],
                context=functional["configurationContext"],
            )
        add_users(site, {"manager": ["Manager"]})
        return session_of("manager")

    def test_export(self, later, manager):
        """The result is for downloading, under the name that the call gave."""
        record, result = later("POST", "@export", manager)
        assert record.state == "succeeded", record.error
        assert result.headers["Content-Type"] == "application/zip"
        assert result.headers["Content-Disposition"] == (
            "attachment; filename*=UTF-8''plone_export.zip"
        )
        assert zipfile.is_zipfile(io.BytesIO(result.content))

    def test_an_upload(self, later, manager):
        """What is no archive cannot be imported, but it was there to be read."""
        record, result = later(
            "POST", "@import", manager, files={"file": ("a.zip", b"no archive")}
        )
        assert record.error.type == "zipfile.BadZipFile"
        assert result.status_code == 500
        assert result.json()["type"] == "BadZipFile"

    def test_a_form_that_is_told_by_its_type(self, tree, later, manager):
        rows = "/old-page,/folder\n"
        record, result = later(
            "POST", "@aliases", manager, files={"file": ("a.csv", rows, "text/csv")}
        )
        assert record.state == "succeeded", record.error
        assert result.status_code == 204
        storage = getUtility(IRedirectionStorage)
        assert storage.get("/plone/old-page") == "/plone/folder"
