"""The layers of the package as pytest fixtures: ``integration`` and ``functional``.

pytest-plone builds ``portal``, ``app`` and its other fixtures on these.
"""

from collective.background.testing import BACKGROUND_FUNCTIONAL_TESTING
from collective.background.testing import BACKGROUND_INTEGRATION_TESTING
from pytest_plone import fixtures_factory


globals().update(
    fixtures_factory(
        (
            (BACKGROUND_FUNCTIONAL_TESTING, "functional"),
            (BACKGROUND_INTEGRATION_TESTING, "integration"),
        )
    )
)
