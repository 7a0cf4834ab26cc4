"""Views to publish, and a real server to compare with."""

from pathlib import Path
from webtest.http import StopableWSGIServer
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from ZPublisher.httpexceptions import HTTPExceptionHandler
from ZPublisher.WSGIPublisher import publish_module

import pytest


VIEWS = Path(__file__).parent / "published_views.zcml"


@pytest.fixture
def views(functional):
    """Register the views of ``published_views.zcml``, for all sites."""
    with in_site(None):
        xmlconfig.file(str(VIEWS), context=functional["configurationContext"])


@pytest.fixture
def server(functional):
    """Serve the database of the test; the value is the address of its root."""
    server = StopableWSGIServer.create(
        HTTPExceptionHandler(publish_module), host="127.0.0.1"
    )
    yield f"http://localhost:{server.effective_port}"
    server.shutdown()
