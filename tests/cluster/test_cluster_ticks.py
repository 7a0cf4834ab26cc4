"""Recurring tasks with several instances, of which one is killed.

What scripts and exports do to them is in ``executing/test_who_serves.py``.
"""

from choosing import only_on_zeo
from collections import Counter
from datetime import datetime
from datetime import timedelta
from itertools import pairwise

import pytest


pytestmark = pytest.mark.slow

INTERVAL = timedelta(seconds=1)
TICKS = 4
QUEUED = ("'heart'", "default: queued")
RUNNING = ("'heart'", "default: running")


@only_on_zeo
def test_each_tick_is_run_once(instances, cluster, monkeypatch):
    """Whoever sees to it, and also when that one is gone."""
    a, web = instances
    with monkeypatch.context() as patch:
        patch.setenv("PROBE_HEART", "beats")
        b, c = cluster.run(b={}, c={})
    cluster.who(*QUEUED, times=TICKS)
    b.kill()
    cluster.who(*QUEUED, times=2 * TICKS)
    cluster.stop("c")
    web.wait_all()
    records = web.scheduler("records", text="heart", limit=None)
    moments = sorted(datetime.fromisoformat(record["created"]) for record in records)
    # Each is scheduled a little after its tick.
    assert min(after - before for before, after in pairwise(moments)) > INTERVAL / 2
    lines = [line for each in (a, b, c) for line in each.lines_with(*RUNNING)]
    runs = Counter(line.partition(" task ")[2].split()[0] for line in lines)
    assert set(runs.values()) == {1}
    # What runs when its instance is killed is lost.
    states = Counter(record["state"] for record in records)
    assert states["succeeded"] + states["lost"] == len(records) >= 2 * TICKS
    assert states["lost"] <= 1
