"""The soak test, for a short time: see ``tests/soak``.

With the same seeds each time; ``make soak`` draws others, and takes as long as wanted.
"""

from soak.run import soak

import pytest


pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("storage", "seconds", "tasks", "seed"),
    [("zeo", 60, 500, 3), ("postgresql", 25, 200, 6)],
)
def test_what_can_be_trusted(storage, seconds, tasks, seed, site_data, tmp_path):
    assert soak(storage, seconds, tasks, seed, tmp_path, site_data) == []
