"""Users who look at the control panel, and a task that takes as long as needed."""

from browsing import User
from collective.background import get_scheduler
from helpers import add_users
from helpers import TIMEOUT
from plone import api
from plone.app.theming.interfaces import IThemeSettings
from threading import Event

import pytest


USERS = {
    "boss": ["Manager"],
    "steward": ["Site Administrator"],
    "editor1": ["Contributor"],
}


@pytest.fixture
def portal(site):
    """The site, with the users; without its theme, which takes time."""
    api.portal.set_registry_record("enabled", False, interface=IThemeSettings)
    add_users(site, USERS)
    return site


@pytest.fixture
def boss(functional, portal):
    """A manager of background tasks."""
    return User(functional, "boss")


@pytest.fixture
def steward(functional, portal):
    """Another one, who has fewer rights than a Manager."""
    return User(functional, "steward")


@pytest.fixture
def editor(functional, portal):
    return User(functional, "editor1")


@pytest.fixture
def anonymous(functional, portal):
    return User(functional)


@pytest.fixture
def held():
    """A function whose tasks run until the end of the test.

    ``held.started.wait(TIMEOUT)`` waits for the first one.
    """
    free = Event()
    started = Event()

    def held():
        started.set()
        assert free.wait(TIMEOUT)

    held.started = started
    yield held
    free.set()
    get_scheduler().wait_all(TIMEOUT)
