"""How processes of Celery begin to execute tasks, and end; without a broker."""

from celery.concurrency.prefork import TaskPool as Processes
from celery.concurrency.thread import TaskPool as Threads
from collective.background.celery import booting
from collective.background.celery.app import app
from collective.background.exceptions import Unreachable
from collective.background.executing.starting import ROLE
from collective.background.executing.starting import VARIABLE
from collective.background.model.config import Settings
from kombu import Queue
from types import SimpleNamespace

import os
import pytest


QUEUES = {"imports": 3}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(ROLE, "all")
    monkeypatch.setattr(booting, "PAUSE", 0.0)
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def use_broker(monkeypatch):
    """Return a function that changes the address of the broker."""

    def use_broker(url):
        settings = Settings(celery_broker=url)
        monkeypatch.setattr(booting, "load_settings", lambda: settings)
        monkeypatch.setitem(app.conf, "broker_url", url)

    use_broker("memory://")
    return use_broker


@pytest.fixture
def booted(monkeypatch):
    """Receives the number of slots of each process that boots."""
    slots = []
    monkeypatch.setattr(booting, "_boot", slots.append)
    return slots


class TestTheMainProcess:
    def test_boots_for_threads(self, booted):
        booting.worker_begins(SimpleNamespace(pool_cls=Threads, concurrency=3))
        assert booted == [3]

    @pytest.mark.parametrize("pool", ["prefork", "processes", Processes, "solo"])
    def test_leaves_it_to_its_children(self, booted, pool):
        booting.worker_begins(SimpleNamespace(pool_cls=pool, concurrency=3))
        assert booted == []

    @pytest.mark.parametrize(
        ("pool", "broker", "takes_no_more"),
        [
            ("prefork", "redis://localhost/0", True),
            ("prefork", "amqp://localhost//", False),
            ("threads", "redis://localhost/0", False),
        ],
    )
    def test_takes_no_more_than_it_has_slots_where_it_can(
        self, booted, monkeypatch, use_broker, pool, broker, takes_no_more
    ):
        monkeypatch.setitem(app.conf, "worker_disable_prefetch", False)
        use_broker(broker)
        booting.worker_begins(SimpleNamespace(pool_cls=pool, concurrency=3))
        assert app.conf.worker_disable_prefetch is takes_no_more

    @pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL"])
    def test_listens_to_no_other_broker(self, booted, monkeypatch, name):
        """Celery would, if the environment says so for another application."""
        monkeypatch.setenv(name, "redis://:secret@localhost/0")
        with pytest.raises(SystemExit, match="another broker") as ended:
            booting.worker_begins(SimpleNamespace(pool_cls=Threads, concurrency=3))
        assert "secret" not in str(ended.value)
        assert booted == []

    def test_needs_a_broker(self, booted, use_broker):
        use_broker(None)
        with pytest.raises(SystemExit, match="celery_broker"):
            booting.worker_begins(SimpleNamespace(pool_cls=Threads, concurrency=3))
        assert booted == []

    def test_knows_no_other_pools(self, booted):
        with pytest.raises(SystemExit, match="prefork or threads"):
            booting.worker_begins(SimpleNamespace(pool_cls=str, concurrency=3))
        assert booted == []


class TestAProcess:
    def test_has_one_slot(self, booted):
        booting.process_begins()
        assert booted == [1]

    def test_begins_in_its_role_with_the_queues_that_it_consumes(self, monkeypatch):
        executor = SimpleNamespace(
            settings=Settings(celery_broker="memory://", queues=QUEUES), slots={}
        )
        serves = []
        monkeypatch.setattr(booting, "configure", lambda: SimpleNamespace(prepare=None))
        monkeypatch.setattr(booting, "start", lambda begin: None)
        monkeypatch.setattr(booting, "process_executor", lambda: executor)
        monkeypatch.setattr(booting, "serve", lambda: serves.append(os.environ[ROLE]))
        consumed = {
            name: Queue(name)
            for name in ("background-imports", "background-mail", "another")
        }
        monkeypatch.setattr(app.amqp.queues, "_consume_from", consumed)
        booting._boot(2)
        assert executor.slots == {"imports": 2, "mail": 2}
        assert serves == ["celery"]

    def test_that_cannot_open_the_database_ends(self, monkeypatch, tmp_path, caplog):
        """Celery only logs other exceptions, and would send tasks all the same."""
        monkeypatch.setenv(VARIABLE, str(tmp_path / "zope.conf"))
        with pytest.raises(SystemExit) as ended:
            booting.process_begins()
        assert ended.value.code == 1
        assert "cannot execute tasks of Zope, and ends" in caplog.text
        assert caplog.records[-1].exc_info[0] is Unreachable

    def test_that_does_not_serve_has_nothing_to_end(self, monkeypatch):
        monkeypatch.setattr(booting, "process_executor", pytest.fail)
        booting.process_ends()
