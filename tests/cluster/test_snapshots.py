"""What instances that have nothing to do leave open in the database."""

from processes import END
from threading import Event
from time import monotonic

import pytest


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("shared_cluster", ["postgresql"], indirect=True)
def test_no_transaction_goes_on(cluster, instances):
    """With one, PostgreSQL would keep all old rows, and could never vacuum."""
    a, web = instances
    a.wait(web.schedule("answer", "so both have looked at the database"))
    database = cluster.storage
    begin, end = database.now(), monotonic() + END
    while (oldest := database.oldest_transaction()) is not None and oldest < begin:
        assert monotonic() < end, f"open since {oldest}"
        Event().wait(0.1)
