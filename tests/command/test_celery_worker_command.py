"""``background celery-worker``: what it hands on to Celery, and what it refuses."""

from celery import signals
from collective.background.celery.app import app
from collective.background.command.arguments import make_parser
from collective.background.command.celery_worker import options_of
from collective.background.command.celery_worker import work
from collective.background.exceptions import BadOption
from collective.background.exceptions import Unreachable
from collective.background.executing.starting import VARIABLE
from collective.background.model.config import Settings
from types import SimpleNamespace

import collective.background.celery.program as program
import collective.background.command.celery_worker as command
import os
import pytest


def parsed(*arguments):
    return make_parser().parse_args(["celery-worker", *arguments])


@pytest.fixture
def started(monkeypatch):
    """Receives the arguments with which Celery is started; nothing runs."""
    given = []
    monkeypatch.setattr(app, "start", given.append)
    monkeypatch.setattr(signals.setup_logging, "connect", lambda function: None)
    return given


class TestArguments:
    def test_are_handed_on(self):
        arguments = parsed(
            *("-c", "4", "--pool", "threads", "--hostname", "w1@%h", "--task-events"),
            *("--max-tasks-per-child", "100", "--max-memory-per-child", "500000"),
        )
        assert options_of(arguments) == [
            *("--concurrency", "4", "--pool", "threads", "--hostname", "w1@%h"),
            *("--max-tasks-per-child", "100", "--max-memory-per-child", "500000"),
            "--task-events",
        ]

    def test_that_are_not_given_are_those_of_celery(self):
        assert options_of(parsed()) == ["--pool", "prefork"]

    def test_c_is_no_file(self):
        arguments = parsed("-c", "2", "etc/zope.conf")
        assert (arguments.concurrency, arguments.zope_conf) == (2, "etc/zope.conf")

    def test_other_pools_are_refused(self, capsys):
        with pytest.raises(SystemExit):
            parsed("--pool", "gevent")
        assert "prefork" in capsys.readouterr().err


class TestQueues:
    def test_all_that_go_to_celery(self, started):
        settings = Settings(celery_broker="memory://")
        assert program.run_worker(settings, ["--pool", "prefork"], None)
        name = f"background-{os.getpid()}@%h"
        options = ["--loglevel", "INFO", "--pool", "prefork", "--hostname", name]
        assert started == [["worker", *options]]

    def test_under_a_name_that_was_given(self, started):
        settings = Settings(celery_broker="memory://")
        assert program.run_worker(settings, ["--hostname", "a@b"], None)
        assert started == [["worker", "--loglevel", "INFO", "--hostname", "a@b"]]

    def test_some(self, started):
        settings = Settings(celery_broker="memory://", queues={"imports": 1})
        assert program.run_worker(settings, [], ["imports", "mail"])
        assert started[0][-2:] == ["--queues", "background-imports,background-mail"]

    def test_one_that_does_not_go_there(self, started):
        settings = Settings(celery_broker="memory://", celery_queues={"mail"})
        with pytest.raises(BadOption, match=r"'default' is none .* are: mail"):
            program.run_worker(settings, [], ["default"])
        assert started == []


class TestRefusals:
    @pytest.fixture(autouse=True)
    def variables(self, monkeypatch):
        for name in (VARIABLE, "BACKGROUND_CELERY_BROKER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(command, "begin_log", lambda path: None)

    def test_without_a_configuration(self, tmp_path):
        with pytest.raises(Unreachable, match=r"there is no file .*zope.conf"):
            work(parsed(str(tmp_path / "zope.conf")))

    def test_without_a_broker(self, monkeypatch, tmp_path):
        starter = SimpleNamespace(cfg=SimpleNamespace(environment={}))
        monkeypatch.setattr(command, "configure", lambda: starter)
        with pytest.raises(BadOption, match="celery_broker is not set"):
            work(parsed(str(tmp_path / "zope.conf")))
