"""Sites of both kinds: with tasks in memory, and in the database."""

from collective.background.database.installing import install
from collective.background.testing import serving

import pytest
import transaction


@pytest.fixture
def persistent(site):
    """Let the tasks of the site be in the database; others could run them."""
    install(site)
    transaction.commit()
    with serving():
        yield
        transaction.abort()


@pytest.fixture(params=["memory", "database"])
def tier(request, site):
    """Where the tasks of the site are."""
    if request.param == "database":
        request.getfixturevalue("persistent")
    return request.param
