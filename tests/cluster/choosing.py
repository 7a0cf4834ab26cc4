"""On which databases a test runs: a kill and a new start take their time."""

import pytest


LEASE = 5  # seconds; on a busy machine an instance is silent for a while

only_on_zeo = pytest.mark.parametrize("shared_cluster", ["zeo"], indirect=True)


def elsewhere(**parameters):
    """Return a mark: on other databases than ZEO, only with these parameters."""
    return pytest.mark.elsewhere(**parameters)


def is_wanted(item):
    """Whether a test of pytest is to run, with the parameters that it has."""
    mark = item.get_closest_marker("elsewhere")
    if mark is None or item.callspec.params["shared_cluster"] == "zeo":
        return True
    return mark.kwargs.items() <= item.callspec.params.items()
