"""A site with the persistent scheduler, and what its tests share."""

from collective.background import get_scheduler
from collective.background.database.installing import install
from collective.background.testing import serving
from threading import Event

import gated_tasks
import pytest
import transaction


TIMEOUT = 60


@pytest.fixture
def persistent_site(site):
    """A site whose tasks are in the database, in a process that serves."""
    install(site)
    transaction.commit()
    with serving():
        yield site
        transaction.abort()


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
