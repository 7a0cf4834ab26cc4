"""Requests to a web server, which is a real one here."""

from collective.background import get_scheduler
from collective.background import schedule_request
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.exceptions import NoResponse
from collective.background.exceptions import NotPortable
from collective.background.exceptions import ResponseFailed
from collective.background.model.spool import MEMORY_LIMIT
from collective.background.running import kinds
from errno import ECONNREFUSED
from helpers import failure_of
from helpers import finished
from helpers import kept_files
from helpers import result_of
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import json
import pytest
import requests
import socket
import threading
import transaction


class Handler(BaseHTTPRequestHandler):
    """Notes each request and answers according to its path."""

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        parts = urlsplit(self.path)
        self.server.seen.append(
            {
                "method": self.command,
                "path": parts.path,
                "query": parse_qs(parts.query),
                "headers": dict(self.headers),
                "body": self.rfile.read(length).decode(),
            }
        )
        first, *rest = parts.path.strip("/").split("/")
        status, headers, body = getattr(self, f"answer_{first}")(*rest)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def answer_echo(self):
        body = json.dumps(self.server.seen[-1]).encode()
        return 200, {"Content-Type": "application/json"}, body

    def answer_status(self, status):
        return int(status), {}, b"why"

    def answer_cookie(self):
        return 200, {"Set-Cookie": "token=secret", "X-One": "1"}, b""

    def answer_redirect(self):
        return 302, {"Location": "/echo?from=redirect"}, b""

    def answer_round(self):
        return 302, {"Location": "/round?token=secret"}, b""

    def answer_bytes(self, size):
        return 200, {}, b"x" * int(size)

    def answer_hang(self):
        self.server.released.wait()
        return 200, {}, b""

    def answer_cut(self):
        """Promise more than there is."""
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x")
        self.connection.shutdown(socket.SHUT_RDWR)
        return 200, {}, b""

    def log_message(self, format, *args):
        """Say nothing: what was asked for is in ``server.seen``."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.released = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that went away is no error of the test."""


@pytest.fixture
def web(monkeypatch, site):
    """A web server, and a site whose tasks ask it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def nobody(site):
    """An address at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # but it does not listen
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


class TestTransactions:
    def test_is_made_after_the_commit(self, web):
        task_id = schedule_request("GET", f"{web.address}/echo")
        assert web.seen == []
        finished(task_id)
        assert [seen["path"] for seen in web.seen] == ["/echo"]

    def test_is_not_made_after_an_abort(self, web):
        schedule_request("GET", f"{web.address}/status/200")
        transaction.abort()
        finished(schedule_request("GET", f"{web.address}/echo"))
        assert [seen["path"] for seen in web.seen] == ["/echo"]


class TestArguments:
    """They are those of ``requests.request()``."""

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "post"])
    def test_method(self, web, method):
        response = result_of(schedule_request(method, f"{web.address}/echo"))
        assert json.loads(response.body)["method"] == method.upper()

    def test_query_headers_and_credentials(self, web):
        task_id = schedule_request(
            "GET",
            f"{web.address}/echo",
            params={"a": ["1", "2"]},
            headers={"X-Purpose": "a test"},
            auth=("ada", "secret"),
        )
        seen = json.loads(result_of(task_id).body)
        assert seen["query"] == {"a": ["1", "2"]}
        assert seen["headers"]["X-Purpose"] == "a test"
        assert seen["headers"]["Authorization"].startswith("Basic ")

    @pytest.mark.parametrize(
        ("argument", "body", "content_type"),
        [
            ({"json": {"a": 1}}, '{"a": 1}', "application/json"),
            ({"data": {"a": "1"}}, "a=1", "application/x-www-form-urlencoded"),
            ({"data": b"text"}, "text", None),
        ],
    )
    def test_body(self, web, argument, body, content_type):
        task_id = schedule_request("POST", f"{web.address}/echo", **argument)
        seen = json.loads(result_of(task_id).body)
        assert seen["body"] == body
        assert seen["headers"].get("Content-Type") == content_type

    def test_timeout_is_15_seconds_unless_it_is_given(self, monkeypatch, web):
        timeouts = []
        send = requests.Session.send

        def spy(session, request, **kwargs):
            timeouts.append(kwargs["timeout"])
            return send(session, request, **kwargs)

        monkeypatch.setattr(requests.Session, "send", spy)
        finished(schedule_request("GET", f"{web.address}/echo"))
        finished(schedule_request("GET", f"{web.address}/echo", timeout=(3, 60)))
        assert timeouts == [15, (3, 60)]

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "example.org",
            "/path",
            "ftp://example.org",
            "file:///etc/passwd",
            "http://",
            "http://example.org:99999/",
            "http://[::1/",
            None,
            7,
        ],
    )
    def test_what_is_not_the_address_of_a_web_server_is_refused(self, url):
        with pytest.raises(BadOption, match="not the address of a web server"):
            schedule_request("GET", url)

    @pytest.mark.parametrize("method", ["", "BREW", None, "GET /"])
    def test_an_unknown_method_is_refused(self, method):
        with pytest.raises(BadOption, match="method"):
            schedule_request(method, "http://localhost/")

    def test_an_unknown_argument_is_refused(self):
        with pytest.raises(BadCall, match="no argument jsno"):
            schedule_request("POST", "http://localhost/", jsno={})

    def test_what_cannot_be_carried_is_refused(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"text")
        with path.open("rb") as file, pytest.raises(NotPortable, match="'files'"):
            schedule_request("POST", "http://localhost/", files={"upload": file})


class TestAnswers:
    def test_status_headers_and_body(self, web):
        response = result_of(schedule_request("GET", f"{web.address}/bytes/3"))
        assert response.status == 200
        assert response.headers["content-length"] == "3"
        assert response.body == b"xxx"
        assert response.location is None

    @pytest.mark.parametrize("status", [400, 404, 500, 503])
    def test_an_error_fails_the_task(self, web, status):
        task_id = schedule_request("GET", f"{web.address}/status/{status}")
        record, response = failure_of(task_id)
        assert record.error.type == "collective.background.exceptions.ResponseFailed"
        assert f"answered with the status {status} " in record.error.message
        assert record.has_result
        assert response.status == status
        assert response.body == b"why"

    def test_the_exception_has_the_status(self, web):
        with pytest.raises(ResponseFailed) as caught:
            result_of(schedule_request("GET", f"{web.address}/status/418"))
        assert caught.value.status == 418

    def test_redirects_are_followed(self, web):
        response = result_of(schedule_request("GET", f"{web.address}/redirect"))
        assert json.loads(response.body)["query"] == {"from": ["redirect"]}

    def test_unless_they_shall_not(self, web):
        task_id = schedule_request(
            "GET", f"{web.address}/redirect", allow_redirects=False
        )
        response = result_of(task_id)
        assert response.status == 302
        assert response.location == "/echo?from=redirect"

    def test_cookies_are_not_kept(self, web):
        headers = result_of(schedule_request("GET", f"{web.address}/cookie")).headers
        assert headers["X-One"] == "1"
        assert "Set-Cookie" not in headers

    def test_a_large_body_goes_to_disk_until_the_record_goes(self, web):
        size = MEMORY_LIMIT + 1
        task_id = schedule_request("GET", f"{web.address}/bytes/{size}")
        response = result_of(task_id)
        assert response.spool.on_disk
        assert len(response.body) == size
        get_scheduler().remove(task_id)
        assert len(response.body) == size  # for as long as somebody has it
        before = kept_files()
        del response
        assert kept_files() < before

    def test_a_body_is_cut_off_at_a_limit_and_the_user_is_told(self, monkeypatch, web):
        monkeypatch.setattr(kinds, "MAX_BODY", 100)
        task_id = schedule_request("GET", f"{web.address}/bytes/100")
        record = finished(task_id)
        assert record.messages == ()

        task_id = schedule_request("GET", f"{web.address}/bytes/101")
        record = finished(task_id)
        response, _ = get_scheduler().get_result(task_id)
        assert record.state == "succeeded"
        assert response.body == b"x" * 100
        assert response.spool.truncated
        (message,) = record.messages
        assert message.type == "warning"
        assert "longer than 100 bytes" in message.text


class TestNoAnswer:
    def test_nobody_listens(self, nobody):
        record, response = failure_of(schedule_request("GET", f"{nobody}/path"))
        assert record.error.type == "collective.background.exceptions.NoResponse"
        assert record.error.message == (
            f"GET {nobody}/path got no answer: "
            f"ConnectionError ([Errno {ECONNREFUSED}] Connection refused)"
        )
        assert response is None

    def test_the_server_takes_too_long(self, web):
        task_id = schedule_request("GET", f"{web.address}/hang", timeout=0.05)
        with pytest.raises(NoResponse, match=r"ReadTimeout \(timed out\)"):
            result_of(task_id)

    def test_the_server_stops_in_the_middle(self, web):
        task_id = schedule_request("GET", f"{web.address}/cut")
        with pytest.raises(NoResponse, match="ChunkedEncodingError"):
            result_of(task_id)

    def test_redirects_without_an_end(self, web):
        task_id = schedule_request("GET", f"{web.address}/round")
        with pytest.raises(NoResponse, match="TooManyRedirects"):
            result_of(task_id)


class TestSecrets:
    """Addresses may have a password or a token; records are for many eyes."""

    @pytest.mark.parametrize("path", ["echo", "status/500", "round", "cut"])
    def test_of_an_address_are_nowhere(self, caplog, web, path):
        host = web.address.removeprefix("http://")
        address = f"http://ada:secret@{host}/{path}?token=secret"
        record = finished(schedule_request("GET", address))
        assert record.callable == record.title == f"GET {web.address}/{path}"
        assert "secret" not in repr(record)
        assert "secret" not in caplog.text
        assert web.seen[0]["query"] == {"token": ["secret"]}
        assert web.seen[0]["headers"]["Authorization"].startswith("Basic ")

    def test_where_nobody_listens(self, caplog, nobody):
        host = nobody.removeprefix("http://")
        address = f"http://ada:secret@{host}/path?token=secret"
        record = finished(schedule_request("GET", address))
        assert record.error.type.endswith(".NoResponse")
        assert "secret" not in repr(record)
        assert "secret" not in caplog.text
