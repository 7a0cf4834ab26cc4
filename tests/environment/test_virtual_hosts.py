"""Addresses inside of a task are those of the request that scheduled it."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.environment.sites import system_environment
from collective.background.model.settings import IBackgroundSettings
from helpers import result_of
from helpers import TIMEOUT
from plone import api
from zope.globalrequest import clearRequest
from zope.globalrequest import getRequest
from zope.interface import Invalid

import pytest
import transaction


ROOTS = {
    "site at the root": "plone/VirtualHostRoot",
    "site below the root": "VirtualHostRoot/plone",
    "site below a prefix": "plone/VirtualHostRoot/_vh_intra/_vh_net",
    "Zope below a prefix": "VirtualHostRoot/_vh_intra/plone",
}


def addresses():
    """Return the addresses that code asks for."""
    request = getRequest()
    site = api.portal.get()
    folder = site["folder"]
    return {
        "site": site.absolute_url(),
        "path of the site": site.absolute_url_path(),
        "content": folder.absolute_url(),
        "relative": folder.absolute_url(relative=1),
        "view": site.restrictedTraverse("@@plone_portal_state").portal_url(),
        "tool": site.portal_url(),
        "server": request["SERVER_URL"],
        "physicalPathToURL": request.physicalPathToURL(("", "plone", "folder")),
        "physicalPathFromURL": request.physicalPathFromURL(folder.absolute_url()),
        "virtual path": request.physicalPathToVirtualPath(("", "plone", "folder")),
        "URL": request["URL"],
        "ACTUAL_URL": request["ACTUAL_URL"],
        "BASE1": request["BASE1"],
    }


def both(view):
    """Return the addresses, and the id of a task that will return them."""
    return addresses(), schedule(addresses)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    ("host", "server_url"),
    [
        ("http/www.example.org:80", "http://www.example.org"),
        ("https/www.example.org:443", "https://www.example.org"),
        ("http/www.example.org:8080", "http://www.example.org:8080"),
        ("https/www.example.org:8443", "https://www.example.org:8443"),
    ],
)
def test_virtual_host(visit, folder, root, host, server_url):
    here, task_id = visit(both, f"/VirtualHostBase/{host}/{ROOTS[root]}/folder")
    assert here["content"].startswith(f"{server_url}/")
    assert result_of(task_id) == here


def test_without_a_virtual_host(visit, folder, server):
    here, task_id = visit(both, "/plone/folder")
    assert here["site"] == f"{server}/plone"
    assert result_of(task_id) == here


def test_without_a_request(site, folder):
    """In a script nothing says under which address the site is visited."""
    clearRequest()
    assert result_of(schedule(site.absolute_url)) == "http://localhost/plone"


class TestPublicAddress:
    """A setting of the site, for what runs without a visitor."""

    @pytest.fixture
    def public(self, site):
        """Return a function that sets it; there is no request from then on."""

        def public(url):
            api.portal.set_registry_record("collective.background.public_url", url)
            transaction.commit()
            clearRequest()
            return site

        yield public
        api.portal.set_registry_record("collective.background.public_url", "")
        transaction.commit()

    @pytest.mark.parametrize(
        "url",
        [
            "https://www.example.org",
            "http://www.example.org:8081",
            "http://[::1]:8081",
            "https://www.example.org/intranet/plone",
        ],
    )
    def test_is_where_links_lead(self, public, url):
        site = public(url)
        assert result_of(schedule(site.absolute_url)) == url

    def test_is_that_of_recurring_tasks_and_what_they_schedule(self, public):
        site = public("https://www.example.org")
        with system_environment(site._p_jar.db(), "/plone") as env:
            assert env.site.absolute_url() == "https://www.example.org"
            task_id = schedule(env.site.absolute_url)
            transaction.commit()
        assert get_scheduler().wait(task_id, TIMEOUT).state == "succeeded"
        assert get_scheduler().peek_result(task_id) == "https://www.example.org"

    @pytest.mark.parametrize(
        "url",
        [
            "www.example.org",
            "ftp://www.example.org",
            "javascript:alert(1)",
            "https://",
            "https://user:secret@www.example.org",
            "https://www.example.org:port",
            "https://www.example.org/?x=1",
        ],
    )
    def test_is_refused_if_it_is_none(self, public, url):
        """By the form. A script may set it all the same, and it is left aside."""
        with pytest.raises(Invalid):
            IBackgroundSettings["public_url"].validate(url)
        site = public(url)
        assert result_of(schedule(site.absolute_url)) == "http://localhost/plone"
