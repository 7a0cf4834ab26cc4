"""A site with the persistent scheduler, and what its tests share."""

from collective.background import get_scheduler
from collective.background.database import workers
from collective.background.database.installing import install
from helpers import TIMEOUT
from threading import Event

import gated_tasks
import pytest
import transaction


@pytest.fixture
def persistent_site(site):
    """A site whose tasks are in the database."""
    install(site)
    transaction.commit()
    yield site
    transaction.abort()
    workers.stop_workers(TIMEOUT)


@pytest.fixture
def scheduler(persistent_site):
    return get_scheduler()


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
