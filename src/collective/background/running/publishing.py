"""Publishing a view for a task: what the publisher does, without credentials.

Comes in: the environment of the task and a path. Goes out: a Response.
``request.traverse()`` authenticates with what the *request* carries, and a
task's request carries nothing; so the steps of ``ZPublisher.BaseRequest`` and
``ZPublisher.WSGIPublisher`` are made here, and the check at the end asks for
the task's user.

Left out is what is done for a visitor in front of a browser: themes and other
transformations of the page, CSRF protection, caching and error pages (the REST API
answers errors itself).
"""

from AccessControl import getSecurityManager
from AccessControl import Unauthorized as SecurityUnauthorized
from Acquisition import aq_base
from Acquisition import aq_inner
from Acquisition import aq_parent
from collective.background.exceptions import ResponseFailed
from collective.background.exceptions import Superseded
from collective.background.exceptions import TaskCancelled
from collective.background.model.records import Response
from collective.background.model.spool import Spool
from collective.background.zopecompat import browser_publisher
from collective.background.zopecompat import call_published
from collective.background.zopecompat import choose_service
from collective.background.zopecompat import enter
from collective.background.zopecompat import extend_address
from collective.background.zopecompat import http_class_of
from collective.background.zopecompat import names_ahead
from collective.background.zopecompat import null_resource
from collective.background.zopecompat import quote_name
from collective.background.zopecompat import refuse_acquired_content
from collective.background.zopecompat import roles_of
from collective.background.zopecompat import run_post_traverse
from collective.background.zopecompat import set_address
from collective.background.zopecompat import set_names_ahead
from collective.background.zopecompat import virtual_names
from contextlib import closing
from io import BytesIO
from itertools import pairwise
from plone.rest.interfaces import IAPIRequest
from requests.structures import CaseInsensitiveDict
from transaction.interfaces import TransientError
from zExceptions import Forbidden
from zExceptions import HTTPException
from zExceptions.unauthorized import Unauthorized
from zope.component import getMultiAdapter
from zope.publisher.interfaces import NotFound
from ZPublisher.HTTPResponse import WSGIResponse
from ZPublisher.Iterators import IUnboundStreamIterator

import transaction


# Names that the publisher does not traverse either.
HIDDEN_NAMES = frozenset({"REQUEST", "aq_self", "aq_base"})
# Results are read by others than the visitor for whom a cookie was made.
HIDDEN_HEADERS = frozenset({"set-cookie"})
# A server sends none then, whatever was returned.
WITHOUT_BODY = frozenset({204, 304})


class Failed(Exception):
    """A view that answered with an error: the exception and the Response."""

    def __init__(self, exception, response):
        super().__init__(exception, response)
        self.exception = exception
        self.response = response


def publish(env, context, steps, form, query="", form_type=""):
    """Publish the view at ``steps`` below ``context`` and return its Response.

    ``env``: the Environment, whose request has the method, headers and body of
    the view. ``steps``: names, the first one that of the view. ``form``: is
    added to what the body says. ``query``: the query string, and ``form_type``: the
    Content-Type, which are not read: what they stand for is in the form.
    Raises Failed when the view raises an exception, or the REST API answers with 4xx
    or 5xx; ConflictErrors go through, so that the attempt is repeated, and so do
    TaskCancelled and Superseded.
    """
    request = env.request
    try:
        start, names = _prepare(env, context, steps, form)
        request.environ["QUERY_STRING"] = query
        if form_type:
            request.environ["CONTENT_TYPE"] = form_type
        published = _traverse(request, start, names)
        _authorize(request)
        instead = run_post_traverse(request)
        refuse_acquired_content(request)
        result = call_published(published if instead is None else instead, request)
        if result is not request.response:
            request.response.setBody(result)
        answer = _answer(request.response, _body(request))
    except (TransientError, TaskCancelled, Superseded):
        raise
    except Exception as error:
        answer = _answer_of(request, error)
        if answer.status >= 400:
            raise Failed(error, answer) from error
        # A redirect and the like. The publisher aborts then, too.
        transaction.abort()
    # The REST API tells errors by the status alone, now and then; of a page, that is
    # no error for the publisher either.
    if answer.status >= 400 and IAPIRequest.providedBy(request):
        service = "/".join((*context.getPhysicalPath(), *steps))
        raise Failed(
            ResponseFailed(
                f"{service} answered with the status {answer.status} "
                f"{request.response.errmsg}",
                answer.status,
            ),
            answer,
        )
    return answer


def _prepare(env, context, steps, form):
    """Read the body, and return where to start and the names from there.

    The environment has already gone as far as the site.
    """
    request = env.request
    request.environ["PATH_INFO"] = "/".join((*context.getPhysicalPath(), *steps))
    # The visitor's request may have been one to the REST API, and this not.
    choose_service(request)
    request.processInputs()
    request.form.update(form)
    # A button of the form may have added a name.
    path = request["PATH_INFO"].split("/")
    if env.site is not None:
        start = list(env.site.getPhysicalPath())
        if path[: len(start)] == start:
            return env.site, path[len(start) :]
    del request["PARENTS"][:-1]
    return env.app, path[1:]


def _traverse(request, obj, names):
    """Go from ``obj`` to what is to be published, as BaseRequest.traverse does."""
    path = obj.getPhysicalPath()
    request.steps[:] = path[1:]
    set_address(request, request.physicalPathToVirtualPath(path))
    below = request.physicalPathToVirtualPath((*path, *names))
    request["ACTUAL_URL"] = "/".join(
        (request["SERVER_URL"], *virtual_names(request), *map(quote_name, below))
    )
    if "VirtualRootPhysicalPath" in request.other:
        request["VIRTUAL_URL"] = request["ACTUAL_URL"]
    set_names_ahead(request, names[::-1])
    parents = request["PARENTS"]
    parents.reverse()  # while it is on its way, the root comes first
    request.roles = roles_of(None, None, parents[0])
    for (container, found), name in zip(pairwise(parents), path[1:], strict=True):
        request.roles = roles_of(container, name, found, request.roles)
    try:
        obj = _walk(request, obj, parents)
    finally:
        parents.reverse()
    request["PUBLISHED"] = parents.pop(0)
    return obj


def _walk(request, obj, parents):
    """Follow the names, and then the default views; return where they end."""
    method = request.method
    is_browser = method in ("GET", "POST")
    may_acquire = is_browser or method == "HEAD" or not request.maybe_webdav_client
    if is_browser:
        method = "index_html"
    name = ""
    while True:
        ahead = names_ahead(request)
        if ahead:
            name = ahead.pop()
        else:
            if not may_acquire and _is_acquired(obj):
                container = parents[-2]
                obj = null_resource(container, obj.getId(), request)
            obj, default = _default(request, obj)
            if len(default) > 1:
                *above, method = default
                set_names_ahead(request, above)
                enter(obj, request)
                continue
            if default:
                name = default[0]
            elif name != method and getattr(obj, method, None) is not None:
                name, method = method, "index_html"
            else:
                break
        obj = _step(request, obj, name)
        parents.append(obj)
        request.steps.append(name)
        if ("", *request.steps) == request.other.get("VirtualRootPhysicalPath"):
            set_address(request, ())
        enter(obj, request)
    if not may_acquire and not _has(parents[-2], name):
        raise AttributeError(name)
    # Not callable(): that is true of every acquisition wrapper.
    if hasattr(obj, "__call__"):  # noqa: B004
        request.roles = roles_of(obj, "__call__", obj.__call__, request.roles)
        request.ensure_publishable(obj.__call__, True)
    return obj


def _is_acquired(obj):
    return (
        hasattr(obj, "aq_base")
        and not hasattr(obj, "__bobo_traverse__")
        and obj.__parent__ is not aq_inner(obj).__parent__
    )


def _has(container, name):
    """Whether the container has something of its own by that name."""
    if not hasattr(container, "aq_base") or hasattr(container, "__bobo_traverse__"):
        return True
    base = aq_base(container)
    try:
        return hasattr(base, name) or name in base
    except TypeError:  # it is no container
        return False


def _step(request, obj, name):
    """Return what ``name`` leads to, and note the roles that may publish it."""
    if name in HIDDEN_NAMES:
        request.response.notFoundError(name)
    extend_address(request, name)
    try:
        found = request.traverseName(obj, name)
    except (KeyError, AttributeError, NotFound):
        return request.response.notFoundError(request["URL"])
    except Forbidden:
        return request.response.forbiddenError(name)
    known = hasattr(obj, "__bobo_traverse__") or hasattr(obj, name)
    request.roles = roles_of(obj, name if known else None, found, request.roles)
    return found


def _default(request, obj):
    """Return what is published instead of ``obj``, and the names that lead on."""
    try:
        published, names = browser_publisher(obj, request).browserDefault(request)
    except NotImplementedError:  # a view that cannot be called
        return request.response.notFoundError(request["URL"])
    return published, tuple(names or ())


def _authorize(request):
    """Raise Unauthorized unless the task's user may call what was found.

    The check of ``PluggableAuthService.validate``, for a user who is known.
    """
    published = request["PUBLISHED"]
    accessed = container = request["PARENTS"][0]
    inner_parent = aq_parent(aq_inner(published))
    if inner_parent is not None:
        container = inner_parent
    elif hasattr(published, "__self__"):  # a method
        container = aq_inner(published)
    try:
        allowed = getSecurityManager().validate(
            accessed, container, request.steps[-1], published, request.roles
        )
    except SecurityUnauthorized:
        allowed = False
    if not allowed:
        user = getSecurityManager().getUser()
        raise Unauthorized(
            f"user {user.getId()!r} may not call {request['ACTUAL_URL']}"
        )


def _answer(response, body):
    """Return the Response. ``body``: a binary file, read to its end and closed."""
    response.finalize()
    headers = CaseInsensitiveDict()
    for name, value in response.listHeaders():
        if name.lower() not in HIDDEN_HEADERS:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    status = response.getStatus()
    with closing(body):
        spool = Spool.of(b"") if status in WITHOUT_BODY else Spool(body)
    return Response(status=status, headers=headers, spool=spool)


def _answer_of(request, error):
    """Return the Response to an exception: its status and headers, without body.

    With a body where the REST API has been asked, of which that is the answer.
    """
    if IAPIRequest.providedBy(request):
        return _api_answer_of(request, error)
    response = WSGIResponse()
    if isinstance(error, HTTPException):
        response.setStatus(error.getStatus())
    else:
        # Of other packages' NotFound and the like, the one of that name.
        response.setStatus(getattr(http_class_of(error), "status", 500))
    for name, value in getattr(error, "headers", {}).items():
        response.setHeader(name, value)
    return _answer(response, BytesIO())


def _api_answer_of(request, error):
    """Return the Response of the REST API to an exception, as the publisher does."""
    error_class = http_class_of(error)
    if not isinstance(error, error_class):
        error = error_class(str(error)).with_traceback(error.__traceback__)
    response = request.response
    response.setStatus(error_class)
    for name, value in getattr(error, "headers", {}).items():
        response.setHeader(name, value)
    view = getMultiAdapter((error, request), name="index.html")
    view.__parent__ = request["PARENTS"][0]
    view()
    return _answer(response, BytesIO(response.body))


def _body(request):
    """Return the body as a binary file."""
    response = request.response
    body = response.body
    if IUnboundStreamIterator.providedBy(body) and not hasattr(body, "read"):
        body = _Stream(body)
    elif not hasattr(body, "read"):
        # What was sent with response.write() comes first.
        body = BytesIO(response.stdout.getvalue() + body)
    if request.method == "HEAD":
        body.close()
        body = BytesIO()
    return body


class _Stream:
    """Reads an iterator of bytes as if it were a file."""

    def __init__(self, iterator):
        self._iterator = iterator

    def read(self, size):
        """Return the next chunk, of whatever size; b"" at the end."""
        while True:
            chunk = next(self._iterator, None)
            if chunk is None:
                return b""
            if chunk:
                return chunk

    def close(self):
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()
