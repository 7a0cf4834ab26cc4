"""Two editors and a manager, and tasks of theirs."""

from collective.background import using
from helpers import add_users
from helpers import finished
from plone import api
from plone.app.testing import login
from visitors import Visitor

import pytest
import transaction


USERS = {
    "editor1": ["Contributor", "Editor"],
    "editor2": ["Contributor", "Editor"],
    "boss": ["Site Administrator"],
}


@pytest.fixture
def portal(folder):
    """A site with the users above, and a folder that everybody sees.

    The test itself acts as editor1.
    """
    site = api.portal.get()
    add_users(site, USERS)
    login(site, "editor1")
    return site


@pytest.fixture
def visitor(portal, server):
    """Return a function: somebody at the site."""
    visitors = []

    def visitor(user_id=None):
        visitors.append(Visitor(f"{server}/plone", user_id))
        return visitors[-1]

    yield visitor
    for made in visitors:
        made.close()


@pytest.fixture
def editor(visitor):
    return visitor("editor1")


@pytest.fixture
def other(visitor):
    return visitor("editor2")


@pytest.fixture
def boss(visitor):
    return visitor("boss")


@pytest.fixture
def anonymous(visitor):
    return visitor()


def fail():
    raise ValueError("it went <wrong>")


@pytest.fixture
def failed(portal):
    """The id of a task of editor1 that has failed."""
    return finished(using(title="Failing").schedule(fail)).id


@pytest.fixture
def done(portal):
    """The id of a task of editor1 that has succeeded."""
    return finished(using(title="Counting").schedule(len, "four")).id


@pytest.fixture
def setting(portal):
    """Return a function that changes a setting of the site."""

    def setting(name, value):
        api.portal.set_registry_record(f"collective.background.{name}", value)
        transaction.commit()

    return setting
