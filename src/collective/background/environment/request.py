"""The request of a task: built from a snapshot, for the application of a thread."""

from collective.background.capture.unpickling import unpack
from collective.background.zopecompat import allow_post_traverse
from collective.background.zopecompat import keep_layers
from collective.background.zopecompat import wrap_in_request
from io import BytesIO
from urllib.parse import urlsplit
from zope.interface import directlyProvides
from zope.publisher.browser import setDefaultSkin
from ZPublisher.HTTPRequest import WSGIRequest
from ZPublisher.HTTPResponse import WSGIResponse


# Where neither a visitor nor the site says under which address it is visited.
DEFAULT_SERVER_URL = "http://localhost"


def make_request(snapshot, environ=None, stdin=None):
    """Return a request like the one of the snapshot.

    ``snapshot``: a RequestSnapshot, or None. ``environ``: variables that
    replace those of the snapshot. ``stdin``: the body, a binary file.

    The same as ``Testing.makerequest`` does, which must not be imported in a
    server: it makes Zope use a temporary database.
    """
    server_url = (snapshot and snapshot.server_url) or DEFAULT_SERVER_URL
    parts = urlsplit(server_url)
    variables = {
        "SERVER_URL": server_url,
        "SERVER_NAME": parts.hostname,
        "SERVER_PORT": str(parts.port or {"https": 443}.get(parts.scheme, 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": parts.netloc,
        "wsgi.url_scheme": parts.scheme,
        "REQUEST_METHOD": snapshot.method if snapshot else "GET",
        "QUERY_STRING": "",
        "PATH_INFO": "",
    }
    if snapshot is not None:
        variables.update(snapshot.headers)
        # No header says for whom it was forwarded, so Zope concludes nothing from it.
        variables["REMOTE_ADDR"] = snapshot.client
    variables.update(environ or {})
    response = WSGIResponse(stdout=BytesIO(), stderr=BytesIO())
    request = WSGIRequest(stdin or BytesIO(), variables, response)
    # Subscribers may ask to be called at the end of traversal. It is reached only
    # where a view is published; without this list they would fail elsewhere.
    allow_post_traverse(request)
    if snapshot is None:
        setDefaultSkin(request)
    else:
        restore_markers(request, snapshot)
        request.cookies.update(snapshot.cookies)
    return request


def restore_markers(request, snapshot):
    """Let the request provide what the original did, in the same order.

    Called before the hooks of the site, which need not look for its layers
    then, and after them, as they may add some.
    """
    directlyProvides(request, *snapshot.interfaces)
    keep_layers(request)


def bind_application(request, app, snapshot):
    """Return ``app`` wrapped in the request, which learns its virtual host.

    The order matters: each step overwrites what a later one has set.
    """
    app = wrap_in_request(app, request)
    request["PARENTS"] = [app]
    if snapshot is not None:
        request.setVirtualRoot(list(snapshot.script))
        request.other.pop("VirtualRootPhysicalPath", None)
        if snapshot.virtual_root is not None:
            request["VirtualRootPhysicalPath"] = snapshot.virtual_root
    return app


def bind_public_url(request, site, url):
    """Let addresses begin with ``url``, which is that of the site for its visitors.

    Where no visitor has said so: in recurring tasks, and in scripts.
    """
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname  # IPv6
    request.setServerURL(parts.scheme, host, parts.port)
    request.setVirtualRoot([name for name in parts.path.split("/") if name])
    request["VirtualRootPhysicalPath"] = site.getPhysicalPath()


def fill_form(request, snapshot, app):
    """Put the visitor's form, and the addresses of his view, into the request."""
    request.form.update(unpack(snapshot.form, app))
    request["URL"] = snapshot.url
    request["ACTUAL_URL"] = snapshot.actual_url
