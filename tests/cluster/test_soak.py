"""The soak test, for a short time: see ``tests/soak``. ``make soak`` is for a long one.

What happens is random: the seed is in the output, with which it can be had again.
"""

from soak.run import soak

import pytest
import secrets


pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("storage", "seconds", "tasks"), [("zeo", 60, 500), ("postgresql", 25, 200)]
)
def test_what_can_be_trusted(storage, seconds, tasks, site_data, tmp_path):
    seed = secrets.randbelow(1_000_000)
    assert soak(storage, seconds, tasks, seed, tmp_path, site_data) == []
