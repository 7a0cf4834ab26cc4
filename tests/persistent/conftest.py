"""A site with the persistent scheduler, and what its tests share."""

from collective.background import get_scheduler
from collective.background.persistent import workers
from collective.background.persistent.installing import install
from helpers import TIMEOUT

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
