"""Views to publish."""

from pathlib import Path
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig

import pytest


VIEWS = Path(__file__).parent / "published_views.zcml"


@pytest.fixture
def views(functional):
    """Register the views of ``published_views.zcml``, for all sites."""
    with in_site(None):
        xmlconfig.file(str(VIEWS), context=functional["configurationContext"])
