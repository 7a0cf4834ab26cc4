"""What probes of a worker are told, over HTTP."""

from collective.background.command import probes
from collective.background.command.probes import answer_probes
from collective.background.exceptions import BadOption
from contextlib import closing

import pytest
import requests
import socket


HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def ask():
    """Return a function that asks for a path, and returns status and text."""
    with answer_probes(HOST, 0) as port:

        def ask(path, method="GET"):
            answer = requests.request(method, f"http://{HOST}:{port}{path}")
            return answer.status_code, answer.text

        yield ask


@pytest.mark.parametrize(("is_fine", "status"), [(True, 200), (False, 503)])
@pytest.mark.parametrize("path", ["/live", "/ready", "/ready?verbose"])
def test_answers(ask, monkeypatch, path, is_fine, status):
    name = path.partition("?")[0]
    monkeypatch.setitem(probes.CHECKS, name, lambda: (is_fine, "so it is"))
    assert ask(path) == (status, "so it is\n")


def test_does_not_tell_what_runs_here():
    with answer_probes(HOST, 0) as port:
        answer = requests.get(f"http://{HOST}:{port}/live")
    assert "Python" not in answer.headers["Server"]


def test_anything_else(ask):
    assert ask("/")[0] == 404
    assert ask("/live", "POST")[0] == 501


def test_a_port_that_is_in_use():
    with closing(socket.create_server((HOST, 0))) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(BadOption, match=f"{HOST}:{port}"),
            answer_probes(HOST, port),
        ):
            pass


@pytest.mark.parametrize("port", [-1, 70_000])
def test_what_is_no_port(port):
    with pytest.raises(BadOption, match=str(port)), answer_probes(HOST, port):
        pass


def test_nobody_asks():
    with answer_probes("no.such.host.invalid", None):
        pass
