"""People who talk to the REST API over HTTP."""

from collective.background import get_scheduler
from helpers import add_users
from helpers import PASSWORD
from helpers import TIMEOUT
from plone import api
from sessions import PREFER
from sessions import Session

import pytest
import transaction


USERS = {
    "editor1": ["Contributor", "Editor", "Reviewer"],
    "editor2": [],
    "boss": ["Site Administrator"],
}


@pytest.fixture
def users(site):
    """Two editors, of whom one may write, and a manager; with a workflow."""
    site.portal_workflow.setDefaultChain("simple_publication_workflow")
    add_users(site, USERS)


@pytest.fixture
def session_of(users, server):
    """Return a function: a session of a user (None: a visitor) at the site."""
    sessions = []

    def session_of(user_id):
        session = Session(f"{server}/plone/")
        if user_id is not None:
            session.auth = (user_id, PASSWORD)
        sessions.append(session)
        return session

    yield session_of
    for session in sessions:
        session.close()


@pytest.fixture
def editor(session_of):
    return session_of("editor1")


@pytest.fixture
def other(session_of):
    return session_of("editor2")


@pytest.fixture
def boss(session_of):
    return session_of("boss")


@pytest.fixture
def visitor(session_of):
    return session_of(None)


@pytest.fixture
def tree(users, folder):
    """A folder with a folder with a page, all of editor1; and a target beside it."""
    with api.env.adopt_user(username="editor1"):
        inner = api.content.create(folder, "Folder", "inner", title="Inner")
        api.content.create(inner, "Document", "page", title="A page")
        api.content.create(api.portal.get(), "Folder", "target", title="Target")
    folder.manage_setLocalRoles("editor1", ["Owner"])
    folder.reindexObjectSecurity()
    transaction.commit()
    return folder


@pytest.fixture
def later(editor):
    """Return a function that makes a call as a task, with its record and its answer."""

    def later(method, url, session=editor, headers=(), prefer="", **kwargs):
        headers = {**dict(headers), **PREFER}
        if prefer:
            headers["Prefer"] = f"{prefer}, {headers['Prefer']}"
        accepted = session.request(method, url, headers=headers, **kwargs)
        assert accepted.status_code == 202, accepted.text
        record = get_scheduler().wait(accepted.json()["id"], TIMEOUT)
        transaction.begin()
        return record, session.get(f"{accepted.headers['Location']}/result")

    return later
