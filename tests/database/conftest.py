"""A site with the persistent scheduler, and what its tests share."""

from another import Another
from another import SHORT_LEASE
from another import until
from bare import Bare
from bare import let_send
from collective.background import get_scheduler
from collective.background.database import instances
from collective.background.database.installing import install
from collective.background.database.instances import add_instance
from collective.background.database.instances import Instance
from collective.background.database.tasks import StoredTask
from collective.background.model.config import CELERY
from collective.background.testing import serving
from persistent import Persistent
from threading import Event
from time import monotonic
from types import SimpleNamespace

import gated_tasks
import pytest
import transaction


TIMEOUT = 60


@pytest.fixture
def idle_site(site):
    """A site whose tasks are in the database, in a process that does not serve."""
    install(site)
    transaction.commit()
    yield site
    transaction.abort()


@pytest.fixture
def persistent_site(idle_site):
    """A site whose tasks are in the database, in a process that serves."""
    with serving():
        yield idle_site
        transaction.abort()


@pytest.fixture
def scheduler(persistent_site):
    return get_scheduler()


@pytest.fixture
def paused(scheduler):
    """The scheduler; no task starts before the test resumes the queue."""
    scheduler.pause("default")
    transaction.begin()
    yield scheduler
    transaction.abort()
    scheduler.resume("default")


@pytest.fixture
def another(scheduler):
    """Another instance, which is silent after the next commit."""
    # Two that are the first ones conflict.
    until(lambda: scheduler.instances())
    return Another().joins()


@pytest.fixture
def short_lease(site, settings, monkeypatch):
    """To be used before ``persistent_site``: who is silent is dead after three looks.

    However long they take: the clock by which silences are measured goes on with each.
    Returns that: ``now``, what it says; ``by``, how many seconds it goes on.
    """
    settings(lease=SHORT_LEASE)
    clock = SimpleNamespace(now=monotonic(), by=0.4 * SHORT_LEASE)
    dead = instances.Silences.dead

    def look(silences, others):
        clock.now += clock.by
        return dead(silences, others)

    monkeypatch.setattr(instances, "monotonic", lambda: clock.now)
    monkeypatch.setattr(instances.Silences, "dead", look)
    return clock


class Gates:
    """Lets tasks of this process wait until the test says so; see ``gated``."""

    def __init__(self):
        self.begun, self.opened = Event(), Event()

    def wait(self):
        assert self.begun.wait(TIMEOUT)


@pytest.fixture
def gates(monkeypatch):
    """What ``gated`` and ``gated_until_cancelled`` wait for."""
    made = Gates()
    monkeypatch.setattr(gated_tasks, "gates", made)
    yield made
    made.opened.set()


@pytest.fixture
def bare():
    """A scheduler without a site; nothing of it runs."""
    made = Bare()
    yield made
    made.close()


@pytest.fixture
def loaded(monkeypatch):
    """Receives the ids of the StoredTasks that are loaded from now on."""
    ids = []

    def note(stored, state):
        ids.append(state["id"])
        Persistent.__setstate__(stored, state)

    monkeypatch.setattr(StoredTask, "__setstate__", note, raising=False)
    return ids


@pytest.fixture
def sends(bare):
    """Return a function that makes the Feeder of a process that sends tasks."""

    def sends(**settings):
        feeder = let_send(bare.feeder(celery_broker="memory://", **settings))
        id = feeder.executor.instance
        instance = Instance(id, feeder.settings.role, feeder.slots)
        instance.relays = tuple(feeder.relayed)
        add_instance(bare.connection, instance)
        return feeder

    return sends


@pytest.fixture
def works(bare):
    """Return a function that makes an Instance of a worker."""

    def works(**slots):
        number = len(bare.connection.root().get("collective.background.instances", ()))
        instance = Instance(f"worker {number}", CELERY, slots or {"default": 2})
        add_instance(bare.connection, instance)
        return instance

    return works
