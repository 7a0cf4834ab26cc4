"""``collective.background.client``: how workers without Plone report."""

from celery import Celery
from celery.exceptions import Retry
from collections import deque
from collective.background.client import background_task
from collective.background.client import BackgroundTask
from collective.background.client import NotFromPlone
from collective.background.client import reports
from collective.background.client import Stopped
from collective.background.client import task as tasks
from collective.background.client import TaskFailed
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from threading import Thread

import json
import pytest


class Plone:
    """Takes reports. ``answers``: what it says to the next ones, a status or a dict."""

    def __init__(self):
        self.reports = []
        self.answers = deque()
        self.tokens = set()


@pytest.fixture
def plone(monkeypatch):
    """What stands for Plone; nobody waits for long."""
    monkeypatch.setattr(tasks, "PACE", 0.01)
    monkeypatch.setattr(reports, "FIRST_DELAY", 0.01)
    plone = Plone()

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self):
            size = int(self.headers["Content-Length"])
            plone.reports.append(json.loads(self.rfile.read(size)))
            plone.tokens.add(self.headers["X-Background-Token"])
            answer = plone.answers.popleft() if plone.answers else {}
            status = 200 if isinstance(answer, dict) else answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *args):
            """Not to the output of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    plone.url = f"http://127.0.0.1:{server.server_port}/@tasks/1"
    yield plone
    server.shutdown()
    server.server_close()


@pytest.fixture
def told(plone):
    """The header of a message."""
    return {"url": plone.url, "token": "secret"}


def states_of(plone):
    return [report["state"] for report in plone.reports if "state" in report]


class TestTask:
    def test_begins_and_succeeds(self, plone, told):
        with BackgroundTask(**told) as task:
            task.result = {"words": 3}
        assert states_of(plone) == ["running", "succeeded"]
        assert plone.reports[-1]["result"] == {"words": 3}
        assert plone.tokens == {"secret"}

    def test_each_report_has_the_next_number(self, plone, told, until):
        with BackgroundTask(**told) as task:
            task.log("one")
            until(lambda: len(plone.reports) == 2)
            task.log("two")
        numbers = [report["number"] for report in plone.reports]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len({report["run"] for report in plone.reports}) == 1

    def test_what_is_new_is_told_once(self, plone, told, until):
        with BackgroundTask(**told) as task:
            task.progress(1, 4, "Page 1")
            task.progress(2)
            task.message("Long", type="warning")
            task.log("read")
            until(lambda: any("log" in report for report in plone.reports))
        found = [report for report in plone.reports if "progress" in report]
        progress = {k: v for each in found for k, v in each["progress"].items()}
        assert progress == {"done": 2, "total": 4, "message": "Page 1"}
        logs = [report["log"] for report in plone.reports if "log" in report]
        assert logs == [["read"]]

    @pytest.mark.parametrize("done", [float("nan"), float("inf"), "much"])
    def test_what_is_no_number_is_refused_where_it_is_told(self, plone, told, done):
        """Or no report would be sent any more."""
        with BackgroundTask(**told) as task, pytest.raises(ValueError):
            task.progress(done)
        assert states_of(plone) == ["running", "succeeded"]

    def test_signs_of_life_come_by_themselves(self, plone, told, until):
        plone.answers.append({"silence": 0.04})
        with BackgroundTask(**told):
            until(lambda: len(plone.reports) > 3)
        assert set(plone.reports[2]) == {"run", "number"}

    def test_fails_with_the_exception(self, plone, told):
        with pytest.raises(KeyError), BackgroundTask(**told):
            {}["a"]
        error = plone.reports[-1]["error"]
        assert (error["type"], error["message"]) == ("builtins.KeyError", "'a'")
        assert "test_client.py" in error["traceback"]
        assert "public" not in error

    def test_fails_with_a_text_for_its_user(self, plone, told):
        with pytest.raises(TaskFailed), BackgroundTask(**told):
            raise TaskFailed("No text in it")
        assert plone.reports[-1]["error"]["public"] == "No text in it"

    @pytest.mark.parametrize("answer", [{"stop": True}, 404])
    def test_does_not_begin_if_it_is_unwanted(self, plone, told, answer, monkeypatch):
        monkeypatch.setattr(reports, "GRACE", 0.0)
        plone.answers.append(answer)
        with pytest.raises(Stopped), BackgroundTask(**told):
            raise AssertionError
        assert states_of(plone) == ["running"]

    def test_stops_when_it_is_unwanted(self, plone, told):
        plone.answers += [{}, {"stop": True}]
        with pytest.raises(Stopped), BackgroundTask(**told) as task:
            while True:
                task.progress(1)
        assert states_of(plone) == ["running", "cancelled"]

    @pytest.mark.parametrize("result", [object(), float("nan")])
    def test_a_result_that_is_no_json_is_a_failure(self, plone, told, result):
        with BackgroundTask(**told) as task:
            task.result = result
        assert "could not be reported" in plone.reports[-1]["error"]["message"]

    def test_and_one_that_plone_does_not_take(self, plone, told):
        plone.answers += [{}, 413]
        with BackgroundTask(**told) as task:
            task.result = "much"
        assert states_of(plone) == ["running", "succeeded", "failed"]


class TestPloneIsAway:
    def test_reports_are_repeated_as_they_were(self, plone, told):
        plone.answers += [503, 429, {}, 502]
        with BackgroundTask(**told):
            pass
        assert states_of(plone) == ["running"] * 3 + ["succeeded"] * 2
        first, *others = plone.reports[:3]
        assert all(other == first for other in others)

    def test_so_is_the_first_if_an_instance_has_not_heard_of_the_task(
        self, plone, told
    ):
        plone.answers += [404, {}, 404]
        with BackgroundTask(**told):
            pass
        assert states_of(plone) == ["running", "running", "succeeded"]

    def test_so_are_those_of_its_thread(self, plone, told, until):
        with BackgroundTask(**told) as task:
            plone.answers.append(503)
            task.log("read")
            until(lambda: len(plone.reports) >= 2)
        logs = [report for report in plone.reports if "log" in report]
        assert logs[0] == logs[1]
        assert states_of(plone) == ["running", "succeeded"]

    def test_nobody_waits_for_ever(self, told, caplog):
        told["url"] = "http://127.0.0.1:1/"
        with BackgroundTask(**told, patience=0.0):
            pass
        assert "Plone was not told of its task in time" in caplog.text

    def test_a_process_that_is_to_end_does_not_wait(self, plone, told):
        with pytest.raises(SystemExit), BackgroundTask(**told):
            plone.answers.append(503)
            raise SystemExit
        assert states_of(plone) == ["running", "failed"]


class TestCelery:
    @pytest.fixture
    def make_task(self):
        """Return a function: a task of an application of Celery, of a function."""
        app = Celery("ingest", broker="memory://", set_as_current=False)
        return lambda function: app.task(bind=True)(background_task(function))

    def test_the_function_gets_the_payload(self, make_task, plone, told):
        def read(task, payload):
            task.log(f"read {payload}")
            return 3

        done = make_task(read).apply(args=["/a"], headers={"background": told})
        assert done.get() == 3
        assert plone.reports[-1]["result"] == 3
        assert ["read /a"] in [report.get("log") for report in plone.reports]

    def test_one_that_is_unwanted_ends_quietly(self, make_task, plone, told):
        plone.answers.append({"stop": True})

        def read(task, payload):
            raise AssertionError

        done = make_task(read).apply(args=["/a"], headers={"background": told})
        assert done.get() is None

    def test_a_retry_of_celery_is_no_end(self, make_task, plone, told):
        def read(task, payload):
            raise Retry("later")

        make_task(read).apply(args=["/a"], headers={"background": told})
        assert states_of(plone) == ["running"]

    def test_a_message_of_others_is_refused(self, make_task):
        def read(task, payload):
            raise AssertionError

        done = make_task(read).apply(args=["/a"])
        with pytest.raises(NotFromPlone, match="schedule_external"):
            done.get()
