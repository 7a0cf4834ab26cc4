"""Real requests, in which tasks are scheduled."""

from collective.background.testing import BACKGROUND_FIXTURE
from contextlib import contextmanager
from contextlib import ExitStack
from plone import api
from plone.app.multilingual.setuphandlers import enable_translatable_behavior
from plone.app.testing import applyProfile
from plone.app.testing import FunctionalTesting
from plone.app.testing import PloneSandboxLayer
from plone.app.testing import setRoles
from plone.app.testing import TEST_USER_ID
from plone.app.testing import TEST_USER_NAME
from plone.app.testing import TEST_USER_PASSWORD
from plone.protect.interfaces import IDisableCSRFProtection
from Products.Five.browser import BrowserView
from Products.SiteAccess.VirtualHostMonster import manage_addVirtualHostMonster
from zope.component import getGlobalSiteManager
from zope.interface import alsoProvides
from zope.interface import Interface
from zope.publisher.interfaces.browser import IDefaultBrowserLayer
from ZPublisher import zpublish

import pytest
import requests
import transaction


class MultilingualLayer(PloneSandboxLayer):
    """A site in English and German, with a folder for each."""

    defaultBases = (BACKGROUND_FIXTURE,)

    def setUpZope(self, app, configurationContext):
        import plone.app.multilingual

        self.loadZCML(package=plone.app.multilingual)

    def setUpPloneSite(self, portal):
        setRoles(portal, TEST_USER_ID, ["Manager"])
        api.portal.set_registry_record("plone.available_languages", ["en", "de"])
        applyProfile(portal, "plone.app.multilingual:default")
        enable_translatable_behavior(portal)


@pytest.fixture
def visit(site, server):
    """A function: see ``visitor``."""
    with visitor(site, server) as visit:
        yield visit


@pytest.fixture
def multilingual_visit(functional_session, server):
    """The same in a site with folders for languages.

    Its layer is for one test only: it is set up and torn down here.
    """
    fixture = MultilingualLayer()
    layer = FunctionalTesting(bases=(fixture,), name="Multilingual")
    with ExitStack() as stack:
        for start, end in (
            (fixture.setUp, fixture.tearDown),
            (layer.setUp, layer.tearDown),
            (layer.testSetUp, layer.testTearDown),
        ):
            start()
            stack.callback(end)
        yield stack.enter_context(visitor(layer["portal"], server))


@contextmanager
def visitor(site, server):
    """Yield a function which calls another one inside of a real request.

    ``visit(function, path="/plone", method="GET", **kwargs)`` publishes a view of
    what is at ``path``, as the test user, and returns ``function(view)``.
    ``kwargs``: those of ``requests.request``.
    """
    functions = []
    outcomes = []

    class View(BrowserView):
        __roles__ = None  # public

        @zpublish
        def __call__(self):
            alsoProvides(self.request, IDisableCSRFProtection)
            try:
                outcomes.append((functions.pop()(self), None))
            except Exception as error:
                outcomes.append((None, error))
                raise
            return "done"

    def visit(function, path="/plone", method="GET", **kwargs):
        functions.append(function)
        kwargs = {"auth": (TEST_USER_NAME, TEST_USER_PASSWORD), **kwargs}
        response = requests.request(
            method, f"{server}{path}/@@visit", timeout=60, **kwargs
        )
        transaction.begin()
        result, error = outcomes.pop()
        if error is not None:
            raise error
        response.raise_for_status()
        return result

    app = site.getPhysicalRoot()
    if "virtual_hosting" not in app:
        manage_addVirtualHostMonster(app)
        transaction.commit()
    required = (Interface, IDefaultBrowserLayer)
    site_manager = getGlobalSiteManager()
    site_manager.registerAdapter(View, required, Interface, name="visit")
    try:
        yield visit
    finally:
        site_manager.unregisterAdapter(View, required, Interface, name="visit")
