"""The layers of the package as pytest fixtures: ``integration`` and ``functional``,
and ``demo``, that of the example add-on, which is served over HTTP.

pytest-plone builds ``portal``, ``app`` and its other fixtures on these.
"""

from clusters import Cluster
from collective.background import interfaces
from collective.background.testing import BACKGROUND_FUNCTIONAL_TESTING
from collective.background.testing import BACKGROUND_INTEGRATION_TESTING
from countries_demo.testing import COUNTRIES_DEMO_HTTP_TESTING
from helpers import make_room_for_blobs
from hypothesis import HealthCheck
from hypothesis import settings
from instances import Instance
from instances import make_instance
from instances import make_site
from instances import START
from itertools import chain
from pathlib import Path
from plone import api
from plone.app.testing import setRoles
from plone.app.testing import TEST_USER_ID
from pytest_plone import fixtures_factory
from registries import let_threads_look_up
from webtest.http import StopableWSGIServer
from zope.i18n.compile import compile_mo_file
from ZPublisher.httpexceptions import HTTPExceptionHandler
from ZPublisher.WSGIPublisher import publish_module

import pytest
import shutil
import transaction


pytest_plugins = ["schedulers"]

# As Hypothesis has it of its own accord with ``CI=true``: on a busy machine anything
# takes long now and then.
settings.register_profile(
    "busy", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")


def pytest_configure(config):
    """Make the files of translations that a build of the package makes.

    And let tests register components though threads are at work.
    """
    let_threads_look_up()
    locales = Path(interfaces.__file__).parent / "locales"
    for catalogue in locales.glob("*/LC_MESSAGES/*.po"):
        compile_mo_file(catalogue.stem, catalogue.parent)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let several processes share the tests (``make test``) by files.

    Those that start processes of their own stay together, and so do not disturb one
    another. So far pytest-xdist 3.8 only wants it: pytest has nodes with another
    attribute for their names, so that single tests are handed out.
    """
    for item in items:
        is_slow = item.get_closest_marker("slow")
        group = "slow" if is_slow else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Add what the clusters of a test that has failed have logged.

    And make what it has printed or logged fit to be sent to another process.
    """
    report = yield
    if report.failed:
        fixtures = getattr(item, "funcargs", {}).values()
        clusters = {each for each in fixtures if isinstance(each, Cluster)}
        for name, log in chain.from_iterable(each.logs() for each in clusters):
            report.sections.append((f"log of {name}", log))
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode())
        for name, text in report.sections
    ]
    return report


globals().update(
    fixtures_factory(
        (
            (BACKGROUND_FUNCTIONAL_TESTING, "functional"),
            (BACKGROUND_INTEGRATION_TESTING, "integration"),
        )
    )
)
# Not for the whole session: the layer would stay on top of the other ones. Tests that
# use it are best in one class: it is set up once for a class.
globals().update(
    fixtures_factory([(COUNTRIES_DEMO_HTTP_TESTING, "demo")], keep_session=False)
)


@pytest.fixture(scope="session")
def site_data(tmp_path_factory):
    """The folder ``var`` of an instance with a site; tests make copies of it."""
    folder = tmp_path_factory.mktemp("site_data")
    make_instance(folder)
    make_site(folder)
    return folder / "var"


@pytest.fixture(scope="module")
def instance(site_data, tmp_path_factory):
    """The folder of an instance with a site, on a FileStorage."""
    folder = tmp_path_factory.mktemp("instance")
    make_instance(folder)
    shutil.copytree(site_data, folder / "var", dirs_exist_ok=True)
    return folder


@pytest.fixture
def serve(instance):
    """Return a function that starts a server with the given settings.

    ``kind``: Instance, or one that has another server; ``until``: what it has to log
    before the test goes on.
    """
    servers = []

    def serve(until=None, kind=Instance, **settings):
        server = kind(instance, **settings)
        servers.append(server)
        server.expect(until or kind.ready, timeout=START)
        return server

    yield serve
    for server in servers:
        server.kill()


@pytest.fixture
def site(functional_portal):
    """The site of the functional layer, for a Manager; tests may commit."""
    setRoles(functional_portal, TEST_USER_ID, ["Manager"])
    transaction.commit()
    make_room_for_blobs(functional_portal)
    return functional_portal


@pytest.fixture
def folder(site):
    """A folder in the site, committed."""
    content = api.content.create(site, "Folder", "folder", title="A folder")
    transaction.commit()
    return content


@pytest.fixture
def server():
    """Serve the database of whichever layer; the value is the address of its root."""
    server = StopableWSGIServer.create(
        HTTPExceptionHandler(publish_module), host="127.0.0.1"
    )
    yield f"http://localhost:{server.effective_port}"
    server.shutdown()
