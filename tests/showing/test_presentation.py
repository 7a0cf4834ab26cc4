"""How tasks are put into words."""

from collective.background.model.records import Progress
from collective.background.showing.presentation import ago
from collective.background.showing.presentation import time_left
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from types import SimpleNamespace
from zope.i18n import translate

import pytest


NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (5, "5 s ago"),
        (119, "1 min ago"),
        (7_200, "2 h ago"),
        (86_400, "a day ago"),
        (86_400 * 9.5, "9 days ago"),
        (-3, "now"),
        (-300, "in 5 min"),
    ],
)
def test_how_long_ago(seconds, text):
    assert translate(ago(NOW - timedelta(seconds=seconds), NOW)) == text


@pytest.mark.parametrize(
    ("state", "seconds", "text"),
    [
        ("running", 9, "a few seconds left"),
        ("running", 540, "9 min 0 s left"),
        ("running", None, None),
        ("retrying", 540, None),
    ],
)
def test_the_time_that_is_left(state, seconds, text):
    progress = Progress(done=1, total=100, seconds_left=seconds)
    left = time_left(SimpleNamespace(state=state, progress=progress))
    assert (left and translate(left)) == text
