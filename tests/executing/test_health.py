"""How a process says whether it lives, and whether it does its work."""

from collective.background.database import pulse
from collective.background.database import watch as watch_module
from collective.background.database.installing import install
from collective.background.database.pulse import Pulse
from collective.background.database.watch import Watch
from collective.background.executing import deployment
from collective.background.executing import health
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import Executor
from collective.background.executing.executor import process_executor
from collective.background.model.config import Settings
from collective.background.testing import serving
from helpers import TIMEOUT
from threading import Event
from time import monotonic
from types import SimpleNamespace
from ZODB import DB
from ZODB.POSException import StorageError

import pytest
import transaction


class Source:
    """As a Watch: it is asked how it is."""

    alive = True
    why = None

    def is_alive(self):
        return self.alive

    def trouble(self):
        return self.why

    def stop(self):
        """Nothing of it runs."""

    def leave(self, deadline):
        return []


@pytest.fixture
def executor(monkeypatch):
    executor = Executor(Settings())
    monkeypatch.setattr(deployment, "_foreign", {})
    monkeypatch.setattr(health, "process_executor", lambda: executor)
    return executor


@pytest.fixture
def source(executor):
    source = Source()
    executor.register(source)
    return source


class TestHealth:
    def test_of_a_process_with_nothing_to_do(self, executor):
        assert health.live() == (True, "alive")
        assert health.ready() == (True, "ready")

    def test_a_thread_has_ended(self, source):
        source.alive = False
        assert health.live() == (False, "threads have ended that must not: Source")

    def test_a_trouble_needs_no_new_start(self, source):
        source.why = "it rains"
        assert health.ready() == (False, "it rains")
        assert health.live()[0]

    def test_a_site_of_another_deployment_is_told_of(self, executor, monkeypatch):
        monkeypatch.setattr(deployment, "_foreign", {"/Plone": "production"})
        is_fine, text = health.ready()
        assert is_fine
        assert text == (
            "ready; nothing runs for /Plone, which belongs to the deployment "
            "'production'"
        )

    def test_a_broker_that_is_away_is_told_of(self, executor):
        executor.relay = SimpleNamespace(is_cut_off=True)
        is_fine, text = health.ready()
        assert is_fine
        assert text == "ready; the broker is away: what is for workers of Celery waits"

    def test_the_process_is_about_to_end(self, executor, source):
        executor.drain(Deadline(0))
        assert health.ready() == (False, "this process is about to end")
        assert health.live()[0]


class TestPulse:
    LONGEST = 100.0

    @pytest.fixture
    def now(self, monkeypatch):
        now = [1000.0]
        monkeypatch.setattr(pulse, "monotonic", lambda: now[0])
        return now

    @pytest.fixture
    def pulse(self, now):
        return Pulse(self.LONGEST)

    def test_before_the_first_look(self, pulse):
        assert "not looked at yet" in pulse.trouble()

    def test_after_it(self, pulse, now):
        pulse.looked()
        now[0] += self.LONGEST
        assert pulse.trouble() is None

    def test_a_look_that_does_not_come_back(self, pulse, now):
        pulse.looked()
        now[0] += self.LONGEST + 1
        assert "101 seconds ago" in pulse.trouble()

    def test_what_failed_and_is_over(self, pulse):
        pulse.looked()
        pulse.failed()
        assert "cannot be looked at" in pulse.trouble()
        pulse.looked()
        assert pulse.trouble() is None


class TestWatch:
    @pytest.fixture
    def watch(self, site, monkeypatch):
        monkeypatch.setattr(watch_module, "TROUBLE", 0.01)
        install(site)
        transaction.commit()
        with serving() as watch:
            yield watch

    def test_sees_the_database(self, watch, until):
        until(lambda: watch.trouble() is None)
        assert watch.is_alive()

    def test_has_not_begun(self, functional_app):
        watch = Watch(process_executor(), functional_app._p_jar.db())
        assert watch.is_alive()

    def test_does_not(self, watch, until, monkeypatch):
        until(lambda: watch.trouble() is None)
        failed = Event()

        def fail(*args):
            failed.set()
            raise StorageError("it is gone")

        with monkeypatch.context() as patch:
            patch.setattr(watch._looking, "see_to", fail)
            watch.wake_up()
            assert failed.wait(TIMEOUT)
            until(lambda: watch.trouble() is not None)
            assert watch.is_alive()
        until(lambda: watch.trouble() is None)

    def test_has_left(self, watch):
        watch.stop()
        watch.leave(Deadline(TIMEOUT))
        watch._thread.join(TIMEOUT)
        assert watch.is_alive()

    @pytest.mark.parametrize(
        ("bad", "is_well"), [((), True), ((1,), True), ((1, 2), False)]
    )
    def test_one_site_of_several_is_not_the_database(
        self, functional, monkeypatch, bad, is_well
    ):
        monkeypatch.setattr(watch_module, "TROUBLE", 0)
        watch = Watch(process_executor(), DB(None))
        for key in (1, 2):
            site = SimpleNamespace(key=key, swept_at=monotonic(), is_foreign=False)
            watch._feeders[key] = site
        monkeypatch.setattr(
            watch._looking,
            "see_to",
            lambda connection, manager, site, work: None if site.key in bad else False,
        )
        watch._look_at_all(None, None)
        assert (watch.trouble() is None) == is_well
