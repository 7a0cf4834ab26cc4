"""Machines whose clocks are wrong: faketime lets processes see another time.

It does that below Python, and for the time of day only: what measures how long
something takes is right, as it is on such a machine.
"""

from choosing import only_on_zeo
from helpers import needed
from pathlib import Path
from time import monotonic

import pytest


pytestmark = pytest.mark.slow

MINUTES = 10
DELAY = 2.0  # seconds
BUSY = 20.0  # seconds that it may take longer, on a busy machine


@pytest.fixture
def start(cluster, monkeypatch):
    """Return a function that starts an instance whose clock is wrong."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    library = str(needed(found, "faketime"))

    def start(name, minutes, **settings):
        with monkeypatch.context() as patch:
            patch.setenv("LD_PRELOAD", library)
            patch.setenv("FAKETIME", f"{minutes:+}m")
            patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            return cluster.start(name, **settings)

    return start


@only_on_zeo
def test_a_delay_is_that_of_the_common_clock(instances, start):
    """Whether it is scheduled in time and executed ten minutes early, or vice versa."""
    a, web = instances
    ahead = start("ahead", MINUTES).serves()
    ahead.expect("seconds ahead of that of the database's server")
    for scheduling, frozen in ((web, a), (ahead, ahead)):
        begin = monotonic()
        id = scheduling.schedule("answer", "it is time", delay=DELAY)
        frozen.freeze()
        assert web.wait(id)["state"] == "succeeded"
        assert DELAY <= monotonic() - begin < DELAY + BUSY
        frozen.thaw()
