"""Test layers: a Plone site with the add-on installed."""

from plone.app.testing import applyProfile
from plone.app.testing import FunctionalTesting
from plone.app.testing import IntegrationTesting
from plone.app.testing import PLONE_FIXTURE
from plone.app.testing import PloneSandboxLayer


class CollectiveBackgroundLayer(PloneSandboxLayer):
    defaultBases = (PLONE_FIXTURE,)

    def setUpZope(self, app, configurationContext):
        import collective.background

        self.loadZCML(package=collective.background)

    def setUpPloneSite(self, portal):
        applyProfile(portal, "collective.background:default")


BACKGROUND_FIXTURE = CollectiveBackgroundLayer()

BACKGROUND_INTEGRATION_TESTING = IntegrationTesting(
    bases=(BACKGROUND_FIXTURE,), name="CollectiveBackground:Integration"
)

BACKGROUND_FUNCTIONAL_TESTING = FunctionalTesting(
    bases=(BACKGROUND_FIXTURE,), name="CollectiveBackground:Functional"
)
