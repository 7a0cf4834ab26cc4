"""The request with which a task publishes a view, compared with one over HTTP."""

from collective.background import get_scheduler
from collective.background import schedule_view
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from helpers import body_of
from helpers import failure_of
from helpers import result_of
from helpers import TIMEOUT
from io import BytesIO
from plone import api
from plone.app.testing import TEST_USER_NAME
from plone.app.testing import TEST_USER_PASSWORD
from Products.SiteAccess.VirtualHostMonster import manage_addVirtualHostMonster
from ZPublisher.HTTPRequest import FileUpload
from ZPublisher.HTTPRequest import FormField

import json
import pytest
import requests
import transaction


pytestmark = pytest.mark.usefixtures("views")

AUTH = (TEST_USER_NAME, TEST_USER_PASSWORD)
JSON = {"Accept": "application/json", "Content-Type": "application/json"}


def upload(data, filename="data.bin"):
    """Return a FileUpload as the publisher makes it of a form."""
    field = FormField(
        name="upload",
        file=BytesIO(data),
        filename=filename,
        headers={"Content-Type": "application/octet-stream"},
    )
    return FileUpload(field)


def act(context, function, form=None, **kwargs):
    """Schedule a view that answers with what ``function(view)`` returns."""
    return schedule_view(
        context, "@@act", {"function": function, **(form or {})}, **kwargs
    )


@pytest.fixture
def document(folder):
    content = api.content.create(folder, "Document", "doc", title="A document")
    transaction.commit()
    return content


class TestAsOverHTTP:
    """The view ``later`` schedules another one, which is then asked for directly."""

    @pytest.fixture(autouse=True)
    def virtual_host(self, site):
        app = site.aq_parent
        if "virtual_hosting" not in app:
            manage_addVirtualHostMonster(app)
        transaction.commit()

    @pytest.mark.parametrize("name", ["probe", "@@probe", "@@probe/a/b c"])
    @pytest.mark.parametrize(
        "context",
        [
            "/plone",
            "/plone/folder/doc",
            "/VirtualHostBase/http/example.org:80/VirtualHostRoot/plone/folder",
            "/VirtualHostBase/https/example.org:443/plone/VirtualHostRoot/folder",
            "/VirtualHostBase/http/example.org:8080/plone/folder/VirtualHostRoot"
            "/_vh_in/_vh_tra/doc",
        ],
    )
    def test_a_view_learns_the_same(self, server, document, context, name):
        directly = requests.get(f"{server}{context}/{name}", auth=AUTH, timeout=TIMEOUT)
        scheduling = requests.get(
            f"{server}{context}/later", {"name": name}, auth=AUTH, timeout=TIMEOUT
        )
        get_scheduler().wait(scheduling.text, TIMEOUT)
        response, _ = get_scheduler().get_result(scheduling.text)
        assert directly.status_code == response.status == 200
        assert json.loads(response.body) == directly.json()

    @pytest.mark.parametrize(
        "name", ["doc", "@types", "@types/Document", "doc/@breadcrumbs", "@search"]
    )
    def test_a_service_answers_the_same(self, server, document, name):
        folder = document.aq_parent
        folder.REQUEST.setServerURL("http", *server.removeprefix("http://").split(":"))
        directly = requests.get(
            f"{folder.absolute_url()}/{name}", auth=AUTH, headers=JSON, timeout=TIMEOUT
        )
        response = result_of(schedule_view(folder, name, headers=JSON))
        assert directly.status_code == response.status == 200
        assert response.body == directly.content
        assert response.headers["Content-Type"] == directly.headers["Content-Type"]


class TestForms:
    def test_fields_become_arguments(self, folder):
        assert body_of(schedule_view(folder, "greet", {"name": "Ada"})) == "Hello Ada"

        form = {"name": "Ada", "greeting": "Dear"}
        assert body_of(schedule_view(folder, "greet", form)) == "Dear Ada"

    def test_an_argument_that_is_missing(self, folder):
        record, response = failure_of(schedule_view(folder, "greet"))
        assert record.error.type == "zExceptions.BadRequest"
        assert record.error.message == "name"
        assert response.status == 400

    def test_is_not_the_visitors_form(self, functional_http_request, folder):
        functional_http_request.form["name"] = "the visitor"
        _, response = failure_of(schedule_view(folder, "greet"))
        assert response.status == 400

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_values_keep_their_types(self, folder, method):
        form = {"number": 7, "names": ["a", "b"], "of": folder}
        answer = body_of(act(folder, _describe_form, form, method=method))
        assert answer == "7 ['a', 'b'] <Folder at /plone/folder>"

    def test_an_upload(self, folder):
        form = {"upload": upload(b"12345", "five.txt")}
        answer = body_of(act(folder, _read_upload, form, method="POST"))
        assert answer == "five.txt b'12345'"

    def test_what_cannot_be_carried_is_refused(self, folder):
        with pytest.raises(NotPortable, match="form\\['stream'\\]"):
            schedule_view(folder, "greet", {"stream": (x for x in "abc")})


class TestMethods:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_the_view_learns_the_method(self, folder, method):
        found = json.loads(body_of(schedule_view(folder, "probe", method=method)))
        assert found["method"] == method

    def test_a_method_that_is_only_for_post(self, document):
        name, form = "manage_setLocalRoles", {"userid": "somebody", "roles": ["Editor"]}
        record, response = failure_of(schedule_view(document, name, form))
        assert record.error.type == "zExceptions.NotFound"
        assert response.status == 404
        assert document.get_local_roles_for_userid("somebody") == ()

        result_of(schedule_view(document, name, form, method="POST"))
        assert document.get_local_roles_for_userid("somebody") == ("Editor",)

    def test_head_has_no_body(self, folder):
        head = result_of(schedule_view(folder, "probe", method="HEAD"))
        assert head.headers["Content-Type"] == "application/json"
        assert int(head.headers["Content-Length"]) > 0
        assert head.body == b""

    @pytest.mark.parametrize("method", ["get", "BREW", "", None])
    def test_an_unknown_method_is_refused(self, folder, method):
        with pytest.raises(BadOption, match="method"):
            schedule_view(folder, "probe", method=method)

    def test_acquired_content_cannot_be_deleted(self, site, folder):
        """Like the publisher, which takes only GET and POST as meant for it."""
        api.content.create(site, "Document", "elsewhere")
        _, response = failure_of(schedule_view(folder, "elsewhere", method="DELETE"))
        assert response.status >= 400
        assert "elsewhere" in site


class TestBodies:
    def test_json(self, folder):
        task_id = act(
            folder,
            lambda view: json.loads(view.request["BODY"])["word"],
            method="POST",
            body=b'{"word": "x"}',
            headers={"Content-Type": "application/json"},
        )
        assert body_of(task_id) == "x"

    def test_as_a_file(self, folder):
        task_id = act(
            folder,
            lambda view: view.request["BODYFILE"].read(),
            method="POST",
            body=b"x" * 1_500_000,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert len(result_of(task_id).body) == 1_500_000

    def test_a_form(self, folder):
        task_id = schedule_view(
            folder,
            "greet",
            {"greeting": "Dear"},
            method="POST",
            body=b"name=Ada+L.&greeting=Hi",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert body_of(task_id) == "Dear Ada L."

    def test_a_form_with_a_file(self, folder):
        request = requests.Request(
            "POST", "http://localhost/", files={"upload": ("five.txt", b"12345")}
        ).prepare()
        task_id = act(
            folder,
            _read_upload,
            method="POST",
            body=request.body,
            headers={"Content-Type": request.headers["Content-Type"]},
        )
        assert body_of(task_id) == "five.txt b'12345'"

    def test_a_button_that_names_another_view(self, folder):
        task_id = schedule_view(
            folder,
            "@@probe",
            method="POST",
            body=b"below%3Amethod=Go",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert json.loads(body_of(task_id))["subpath"] == ["below"]

    def test_a_body_that_cannot_be_read(self, folder):
        record, response = failure_of(
            schedule_view(
                folder,
                "probe",
                method="POST",
                body=b"nonsense",
                headers={"Content-Type": "multipart/form-data; boundary=x"},
            )
        )
        assert record.error.type == "zExceptions.BadRequest"
        assert response.status == 400

    def test_must_be_bytes(self, folder):
        with pytest.raises(BadOption, match="body must be bytes, not str"):
            schedule_view(folder, "probe", body="text")


class TestHeaders:
    def test_reach_the_view(self, folder):
        task_id = act(
            folder,
            lambda view: view.request.getHeader("X-Purpose"),
            headers={"X-Purpose": "a test"},
        )
        assert body_of(task_id) == "a test"

    @pytest.mark.parametrize(
        "name",
        [
            "Authorization",
            "Cookie",
            "Host",
            "X-Forwarded-For",
            "x_forwarded_host",
            "X-Remote-User",
            "Remote-User",
            "REMOTE_USER",
        ],
    )
    def test_one_that_could_name_a_user_or_host_is_refused(self, folder, name):
        with pytest.raises(BadOption, match="cannot be set"):
            schedule_view(folder, "probe", headers={name: "admin"})

    @pytest.mark.parametrize("headers", [{"X-Rows": 3}, {3: "rows"}, {"X-Rows": b"3"}])
    def test_what_is_no_text_is_refused(self, folder, headers):
        with pytest.raises(BadOption, match="both must be texts"):
            schedule_view(folder, "probe", headers=headers)

    def test_a_line_break_is_refused(self, folder):
        with pytest.raises(BadOption, match="line break"):
            schedule_view(folder, "probe", headers={"X-Purpose": "a\r\nHost: b"})

    def test_accept_is_not_the_visitors(self, functional_http_request, document):
        """Else his kind of client would decide what is published."""
        functional_http_request.environ["HTTP_ACCEPT"] = "application/json"
        response = result_of(schedule_view(document.aq_parent, "doc"))
        assert response.headers["Content-Type"].startswith("text/html")


class TestServicesOfTheRESTAPI:
    def test_a_service(self, document):
        response = result_of(schedule_view(document, "@workflow", headers=JSON))
        found = json.loads(response.body)
        assert found["@id"] == f"{document.absolute_url()}/@workflow"

    def test_a_service_with_a_body(self, document):
        task_id = schedule_view(
            document.aq_parent,
            "@copy",
            method="POST",
            body=json.dumps({"source": document.absolute_url()}).encode(),
            headers=JSON,
        )
        (copied,) = json.loads(body_of(task_id))
        assert copied["target"].endswith("/folder/copy_of_doc")
        assert "copy_of_doc" in document.aq_parent

    def test_content_by_the_name_it_has_in_its_folder(self, document):
        """That is how a service that has no name is called."""
        task_id = schedule_view(document.aq_parent, "doc", headers=JSON)
        assert json.loads(body_of(task_id))["title"] == "A document"

        task_id = schedule_view(
            document.aq_parent,
            "doc",
            method="PATCH",
            body=b'{"title": "Changed"}',
            headers=JSON,
        )
        assert result_of(task_id).status == 204
        assert document.title == "Changed"

    def test_deleting_content(self, document):
        folder = document.aq_parent
        task_id = schedule_view(folder, "doc", method="DELETE", headers=JSON)
        assert result_of(task_id).status == 204
        assert "doc" not in folder

    def test_an_error_of_a_service(self, document):
        record, response = failure_of(
            schedule_view(
                document.aq_parent, "@copy", method="POST", body=b"{}", headers=JSON
            )
        )
        assert response.status == 400
        assert record.error.type == "zExceptions.BadRequest"

    def test_a_view_that_a_service_has_scheduled(self, server, document):
        """The visitor's request is one to the REST API, the task's is not."""
        answer = requests.get(
            f"{document.absolute_url().replace('http://nohost', server)}/later",
            {"name": "probe"},
            auth=AUTH,
            headers=JSON,
            timeout=TIMEOUT,
        )
        get_scheduler().wait(answer.text, TIMEOUT)
        response, _ = get_scheduler().get_result(answer.text)
        assert response.status == 200


def _describe_form(view):
    form = view.request.form
    return f"{form['number']!r} {form['names']!r} {form['of']!r}"


def _read_upload(view):
    file = view.request.form["upload"]
    return f"{file.filename} {file.read()!r}"
