"""``Prefer: respond-async``: calls that fail, and calls that are answered at once."""

from collective.background import get_scheduler
from collective.background import schedule_view
from collective.background.services.respond_async import prefers_async
from helpers import finished
from helpers import PASSWORD
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from plone.base.utils import get_installer
from plone.locking.interfaces import ILockable
from Products.SiteAccess.VirtualHostMonster import manage_addVirtualHostMonster
from sessions import PREFER

import pytest
import transaction


def change(content, **kwargs):
    """Return a PATCH as the arguments of a session's ``request``."""
    return {"method": "PATCH", "url": content, "json": {"title": "Changed"}, **kwargs}


class TestFailures:
    def test_the_answer_is_that_of_the_call(self, tree, later, editor):
        bad = {"method": "POST", "url": "target/@copy", "json": {"no": "source"}}
        record, result = later(**bad)
        at_once = editor.request(**bad)
        assert record.state == "failed"
        assert record.error.type == "zExceptions.BadRequest"
        assert result.status_code == at_once.status_code == 400
        assert result.json() == at_once.json()

    def test_so_it_is_for_what_is_no_error_of_http(self, tree, later, editor):
        bad = {"method": "PATCH", "url": "folder/inner", "data": "no JSON"}
        _, result = later(**bad)
        at_once = editor.request(**bad)
        assert result.status_code == at_once.status_code == 400
        assert result.json() == at_once.json()

    def test_so_it_is_for_a_status_without_an_exception(self, tree, later, editor):
        bad = {"method": "POST", "url": "folder/@workflow/nothing"}
        record, result = later(**bad)
        at_once = editor.request(**bad)
        assert record.state == "failed"
        assert record.error.type == "collective.background.exceptions.ResponseFailed"
        assert result.status_code == at_once.status_code == 400
        assert result.json() == at_once.json()

    def test_managers_get_the_traceback_of_the_task(self, tree, later, session_of):
        api.user.get("boss").setSecurityProfile(roles=["Manager"])
        transaction.commit()
        _, result = later("POST", "target/@copy", session_of("boss"), json={})
        assert any("copymove.py" in line for line in result.json()["traceback"])

    def test_nothing_of_a_failed_call_stays(self, tree, later):
        bad = {"title": "Changed", "effective": "no date"}
        record, result = later("PATCH", "folder/inner", json=bad)
        assert record.state == "failed"
        assert result.status_code == 400
        assert api.portal.get()["folder"]["inner"].title == "Inner"

    def test_a_failed_one_can_be_tried_again(self, tree, later, editor):
        body = {"source": "/folder/inner"}
        folder = api.portal.get()["folder"]
        folder.manage_delLocalRoles(["editor1"])
        folder["inner"].manage_delLocalRoles(["editor1"])
        folder["inner"].manage_permission("Delete objects", ["Owner"])
        folder.manage_permission("Delete objects", ["Owner"])
        transaction.commit()
        record, result = later("POST", "target/@move", json=body)
        assert result.status_code == 403
        transaction.begin()
        folder.manage_setLocalRoles("editor1", ["Owner"])
        folder["inner"].manage_setLocalRoles("editor1", ["Owner"])
        transaction.commit()
        assert editor.patch(f"@tasks/{record.id}", json={"retry": True}).ok
        assert get_scheduler().wait(record.id, TIMEOUT).state == "succeeded"
        transaction.begin()
        assert "inner" in api.portal.get()["target"]

    def test_content_that_is_gone_has_no_answer(self, tree, editor):
        with waiting():
            task_id = editor.request(**change("folder/inner", headers=PREFER)).json()[
                "id"
            ]
            transaction.begin()
            api.content.delete(api.portal.get()["folder"]["inner"])
            transaction.commit()
        record = get_scheduler().wait(task_id, TIMEOUT)
        assert record.error.type.endswith("ReferenceGone")
        answer = editor.get(f"@tasks/{task_id}/result")
        assert answer.status_code == 404
        assert answer.json()["message"] == "The task has failed, without a result"


class TestAnsweredAtOnce:
    """The call is done as if nothing had been preferred, and there is no task."""

    @pytest.fixture(autouse=True)
    def no_task(self, functional):
        yield
        assert get_scheduler().records() == []

    def assert_changed(self, answer):
        assert answer.status_code == 204, answer.text
        assert "Preference-Applied" not in answer.headers
        transaction.begin()
        assert api.portal.get()["folder"]["inner"].title == "Changed"

    def test_without_the_header(self, tree, editor):
        self.assert_changed(editor.request(**change("folder/inner")))

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_what_only_reads(self, tree, editor, method):
        answer = editor.request(method, "folder", headers=PREFER)
        assert answer.status_code != 202
        assert "Preference-Applied" not in answer.headers

    def test_where_the_add_on_is_not_installed(self, tree, editor):
        get_installer(api.portal.get()).uninstall_product("collective.background")
        transaction.commit()
        self.assert_changed(editor.request(**change("folder/inner", headers=PREFER)))

    def test_a_body_that_is_too_large(self, tree, editor, monkeypatch):
        monkeypatch.setattr(type(get_scheduler()), "max_body", 10)
        self.assert_changed(editor.request(**change("folder/inner", headers=PREFER)))

    def test_users_who_would_not_see_their_task(self, tree, editor):
        api.portal.get().manage_permission("View own background tasks", ["Manager"])
        transaction.commit()
        self.assert_changed(editor.request(**change("folder/inner", headers=PREFER)))

    def test_visitors(self, tree, visitor):
        api.portal.get()["folder"]["inner"].manage_permission(
            "Modify portal content", ["Anonymous"]
        )
        api.portal.get()["folder"]["inner"].manage_permission("View", ["Anonymous"])
        api.portal.get()["folder"].manage_permission("View", ["Anonymous"])
        transaction.commit()
        self.assert_changed(visitor.request(**change("folder/inner", headers=PREFER)))

    @pytest.mark.parametrize(
        "field", ["__ac_password", "__ac_name", "__ac", "password", "user.pwd:record"]
    )
    def test_credentials_in_the_address(self, tree, editor, field):
        """They would be kept with the address."""
        url = f"folder/inner?{field}=secret"
        self.assert_changed(editor.request(**change(url, headers=PREFER)))

    def test_passwords_in_a_body(self, tree, editor):
        """They would be kept with it."""
        body = {"title": "Changed", "rows": [{"new_password": "secret"}]}
        self.assert_changed(editor.patch("folder/inner", json=body, headers=PREFER))

    def test_passwords_in_a_form(self, tree, editor):
        sent = {"data": {"password": "secret"}, "files": {"file": b"data"}}
        answer = editor.post("folder/@copy", headers=PREFER, **sent)
        assert answer.status_code != 202
        assert "Preference-Applied" not in answer.headers

    def test_what_the_user_may_not_do(self, tree, other):
        """Permissions are checked before, as always."""
        answer = other.delete("folder/inner", headers=PREFER)
        assert answer.status_code == 401

    def test_what_is_not_there(self, editor):
        answer = editor.delete("nothing", headers=PREFER)
        assert answer.status_code == 404

    def test_without_permission_for_the_api(self, tree, editor):
        api.portal.get().manage_permission("plone.restapi: Use REST API", ["Manager"])
        transaction.commit()
        answer = editor.request(**change("folder/inner", headers=PREFER))
        assert answer.status_code == 401

    def test_pages_of_the_classic_ui(self, tree, editor):
        headers = {**PREFER, "Accept": "text/html"}
        answer = editor.post("folder/@@folder_contents", headers=headers)
        assert answer.status_code == 200
        assert "text/html" in answer.headers["Content-Type"]

    def test_logging_in(self, editor):
        credentials = {"login": "editor1", "password": PASSWORD}
        answer = editor.post("@login", json=credentials, headers=PREFER)
        assert answer.json()["token"]

    def test_passwords(self, boss):
        new = {"username": "new", "email": "new@example.org", "password": PASSWORD}
        answer = boss.post("@users", json=new, headers=PREFER)
        assert answer.status_code == 201, answer.text

    def test_settings(self, boss):
        """One of them is the password of the mail server."""
        body = {"email_from_name": "The site"}
        answer = boss.patch("@controlpanels/mail", json=body, headers=PREFER)
        assert answer.status_code == 204

    def test_pausing_a_queue(self, boss):
        paused = boss.patch(
            "@task-queues/default", json={"paused": False}, headers=PREFER
        )
        assert paused.status_code == 200


def test_tasks_do_not_schedule_themselves(tree):
    """A view's request may have the header, as its caller likes."""
    headers = {**PREFER, "Accept": "application/json"}
    page = api.portal.get()["folder"]["inner"]
    record = finished(
        schedule_view(
            page,
            "@workflow/publish",
            method="POST",
            headers=headers,
        )
    )
    assert record.state == "succeeded", record.error
    assert api.content.get_state(page) == "published"
    assert len(get_scheduler().records()) == 1


class TestWhatIsTakenAlong:
    def test_the_token_of_a_lock(self, tree, later):
        page = api.portal.get()["folder"]["inner"]["page"]
        with api.env.adopt_user(username="editor1"):
            ILockable(page).lock()
        (lock,) = page.wl_lockValues()
        transaction.commit()
        refused, _ = later(**change("folder/inner/page"))
        assert refused.state == "failed"
        token = {"Lock-Token": lock.getLockToken()}
        record, _ = later(**change("folder/inner/page", headers=token))
        assert record.state == "succeeded", record.error

    @pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/x"])
    def test_json_whatever_it_is_called(self, tree, later, kind):
        """Some clients call every body a form."""
        sent = {"data": b'{"title": "Changed"}', "headers": {"Content-Type": kind}}
        record, _ = later("PATCH", "folder/inner", **sent)
        assert record.state == "succeeded", record.error
        assert api.portal.get()["folder"]["inner"].title == "Changed"

    def test_the_virtual_host(self, functional, server, tree, editor):
        app = functional["app"]
        if "virtual_hosting" not in app.objectIds():
            manage_addVirtualHostMonster(app)
            transaction.commit()
        root = "/VirtualHostBase/http/example.org:80/plone/++api++/VirtualHostRoot"
        answer = editor.post(
            f"{server}{root}/target/@copy",
            json={"source": "http://example.org/folder"},
            headers=PREFER,
        )
        assert answer.status_code == 202, answer.text
        task_id = answer.json()["id"]
        assert answer.json()["title"] == "Copying an item to /target"
        assert answer.headers["Location"] == f"http://example.org/@tasks/{task_id}"
        get_scheduler().wait(task_id, TIMEOUT)
        (copied,) = editor.get(f"@tasks/{task_id}/result").json()
        assert copied["target"] == "http://example.org/target/folder"


@pytest.mark.parametrize(
    ("header", "prefers"),
    [
        ("respond-async", True),
        ("Respond-Async, wait=10", True),
        ("wait=10,respond-async; foo=bar", True),
        ('foo="a, respond-async"', False),
        ("return=minimal", False),
        ("respond-async-not", False),
        ("", False),
        (None, False),
    ],
)
def test_how_the_header_is_read(header, prefers):
    assert prefers_async(header) == prefers
