"""What groups do is tested in memory and in the database."""

from collective.background import get_scheduler
from collective.background.database.installing import install
from collective.background.testing import serving
from helpers import TIMEOUT

import pytest
import transaction


@pytest.fixture(params=["memory", "database"])
def tier(request, site):
    """A site that keeps its tasks there, in a process that serves."""
    if request.param == "memory":
        yield request.param
        return
    install(site)
    transaction.commit()
    with serving():
        yield request.param
        transaction.abort()


@pytest.fixture
def scheduler(tier):
    """The scheduler of the site. Nothing of the test is left there."""
    scheduler = get_scheduler()
    yield scheduler
    transaction.abort()
    scheduler.resume("default")
    scheduler.wait_all(TIMEOUT)


@pytest.fixture
def paused(scheduler):
    """The scheduler; no task starts before the test resumes the queue."""
    scheduler.pause("default")
    transaction.begin()
    return scheduler
