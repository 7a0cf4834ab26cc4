"""Addresses inside of a task are those of the request that scheduled it."""

from collective.background import schedule
from helpers import result_of
from plone import api
from zope.globalrequest import clearRequest
from zope.globalrequest import getRequest

import pytest


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
