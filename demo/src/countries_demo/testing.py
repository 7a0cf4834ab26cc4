"""The layer for the add-on's tests: a site with two editors and a folder."""

from collective.background.testing import BACKGROUND_FIXTURE
from collective.background.testing import queues
from contextlib import ExitStack
from countries_demo.database import open_database
from countries_demo.database import Session
from plone import api
from plone.app.testing import applyProfile
from plone.app.testing import FunctionalTesting
from plone.app.testing import PloneSandboxLayer
from plone.testing.zope import WSGIServer
from tempfile import TemporaryDirectory


EDITORS = {"editor1": "secret-of-editor1", "editor2": "secret-of-editor2"}


class CountriesDemoLayer(PloneSandboxLayer):
    defaultBases = (BACKGROUND_FIXTURE,)

    def setUpZope(self, app, configurationContext):
        import countries_demo

        self.loadZCML(package=countries_demo)
        # Queues are set in zope.conf, so tests say which ones there are. Two
        # slots, unlike there: what two imports do to each other is to be tested.
        self._queues = ExitStack()
        self._queues.enter_context(queues(imports=2))
        self._directory = TemporaryDirectory()
        self._engine = open_database(f"sqlite:///{self._directory.name}/test.sqlite")
        Session.configure(bind=self._engine)

    def setUpPloneSite(self, portal):
        applyProfile(portal, "countries_demo:default")
        with api.env.adopt_roles(["Manager"]):
            folder = api.content.create(portal, "Folder", "countries", "Countries")
        for name, password in EDITORS.items():
            api.user.create(f"{name}@example.org", name, password)
            api.user.grant_roles(
                username=name, roles=["Contributor", "Editor", "Reader"], obj=folder
            )
        folder.reindexObjectSecurity()

    def tearDownZope(self, app):
        self._queues.close()
        self._engine.dispose()
        self._directory.cleanup()


class Server(WSGIServer):
    """A server with another port each time: the last one may be in use still."""

    def setUp(self):
        self.port = None
        super().setUp()


COUNTRIES_DEMO_FIXTURE = CountriesDemoLayer()
COUNTRIES_DEMO_SERVER = Server()

COUNTRIES_DEMO_HTTP_TESTING = FunctionalTesting(
    bases=(COUNTRIES_DEMO_FIXTURE, COUNTRIES_DEMO_SERVER), name="CountriesDemo:HTTP"
)
