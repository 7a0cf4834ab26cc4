"""The layers of the package as pytest fixtures: ``integration`` and ``functional``.

pytest-plone builds ``portal``, ``app`` and its other fixtures on these.
"""

from pytest_plone import fixtures_factory

from collective.background.testing import (
    BACKGROUND_FUNCTIONAL_TESTING,
    BACKGROUND_INTEGRATION_TESTING,
)

globals().update(
    fixtures_factory(
        (
            (BACKGROUND_FUNCTIONAL_TESTING, "functional"),
            (BACKGROUND_INTEGRATION_TESTING, "integration"),
        )
    )
)
