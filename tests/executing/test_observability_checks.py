"""The checks of plone.observability, which ask the same as the probes of a worker."""

from collective.background.executing import health
from zope.component import getUtility
from zope.interface.verify import verifyObject

import pytest


@pytest.mark.parametrize(
    ("name", "ask"),
    [("ILivenessCheck", health.live), ("IReadinessCheck", health.ready)],
)
def test_they_say_the_same(functional, name, ask):
    interfaces = pytest.importorskip("plone.observability.interfaces")
    interface = getattr(interfaces, name)
    check = getUtility(interface, name="collective.background")
    assert verifyObject(interface, check)
    assert check() == ask()
