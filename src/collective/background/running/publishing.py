"""Publishing a view for a task: what the publisher does, without credentials.

Comes in: the environment of the task and a path. Goes out: a Response.
``request.traverse()`` authenticates with what the *request* carries, and a
task's request carries nothing; so the steps of ``ZPublisher.BaseRequest`` and
``ZPublisher.WSGIPublisher`` are made here, and the check at the end asks for
the task's user.
"""

from AccessControl import getSecurityManager
from AccessControl import Unauthorized as SecurityUnauthorized
from AccessControl.ZopeSecurityPolicy import getRoles
from Acquisition import aq_inner
from Acquisition import aq_parent
from collective.background.capture.spool import Spool
from collective.background.exceptions import ResponseFailed
from collective.background.records import Response
from io import BytesIO
from requests.structures import CaseInsensitiveDict
from transaction.interfaces import TransientError
from urllib.parse import quote
from zExceptions import Forbidden
from zExceptions import Redirect
from zExceptions import upgradeException
from zExceptions.unauthorized import Unauthorized
from zope.component import queryMultiAdapter
from zope.publisher.interfaces import NotFound
from zope.publisher.interfaces.browser import IBrowserPublisher
from ZPublisher.BaseRequest import DefaultPublishTraverse
from ZPublisher.BaseRequest import UNSPECIFIED_ROLES
from ZPublisher.Iterators import IUnboundStreamIterator
from ZPublisher.mapply import mapply
from ZPublisher.WSGIPublisher import call_object
from ZPublisher.WSGIPublisher import dont_publish_class
from ZPublisher.WSGIPublisher import missing_name

import transaction


# Names that the publisher does not traverse either.
HIDDEN_NAMES = frozenset({"REQUEST", "aq_self", "aq_base"})
# Results are read by others than the visitor for whom a cookie was made.
HIDDEN_HEADERS = frozenset({"set-cookie"})


class Failed(Exception):
    """A view that answered with an error: the exception and the Response."""

    def __init__(self, exception, response):
        super().__init__(exception, response)
        self.exception = exception
        self.response = response


def publish(env, context, steps):
    """Publish the view at ``steps`` below ``context`` and return its Response.

    ``env``: the Environment; its request has method, body and form already.
    ``steps``: names, the first one that of the view.
    Raises Failed when the view raises an exception or answers with 4xx or 5xx;
    ConflictErrors go through, so that the attempt is repeated.
    """
    request, response = env.request, env.request.response
    try:
        published = _traverse(request, _start(env, context), steps)
        _authorize(request, published)
        result = mapply(
            published,
            request.args,
            request,
            call_object,
            1,
            missing_name,
            dont_publish_class,
            request,
            bind=1,
        )
        if result is not response:
            response.setBody(result)
    except TransientError:
        raise
    except Redirect as redirect:
        # The publisher aborts as well, and then sends the visitor away.
        transaction.abort()
        response.setStatus(redirect.getStatus())
        response.setHeader("Location", str(redirect))
    except Exception as error:
        response.setStatus(upgradeException(type(error), None)[0])
        raise Failed(error, _answer(response, with_body=False)) from error
    answer = _answer(response)
    if answer.status >= 400:
        view = "/".join((*context.getPhysicalPath(), *steps))
        raise Failed(
            ResponseFailed(
                f"{view} answered with the status {answer.status} "
                f"{response.errmsg}".rstrip(),
                answer.status,
            ),
            answer,
        )
    return answer


def _start(env, context):
    """Return the site and the names from there to the context.

    The environment has already gone as far as the site.
    """
    path = context.getPhysicalPath()
    if env.site is not None:
        start = env.site.getPhysicalPath()
        if path[: len(start)] == start:
            return env.site, path[len(start) :]
    del env.request["PARENTS"][:-1]
    return env.app, path[1:]


def _traverse(request, start, steps):
    """Go from ``start`` to what is to be published, as BaseRequest.traverse does."""
    obj, names = start
    stack = [*names, *steps][::-1]
    parents = request["PARENTS"]
    virtual_path = request.physicalPathToVirtualPath(obj.getPhysicalPath())
    request._steps = [quote(name) for name in virtual_path]
    request["URL"] = obj.absolute_url()
    request["ACTUAL_URL"] = "/".join([request["URL"], *map(quote, reversed(stack))])
    request["TraversalRequestNameStack"] = request.path = stack
    request.roles = getRoles(None, None, obj, UNSPECIFIED_ROLES)
    method = request.method.upper()
    method = "index_html" if method in ("GET", "POST") else method
    name = ""
    hook = None  # those of the start have been called
    while True:
        if hook is not None:
            hook(obj, request)
        stack = request.path = request["TraversalRequestNameStack"]
        if stack:
            name = stack.pop()
        else:
            obj, default = _default(request, obj)
            if len(default) > 1:
                *above, method = default
                request["TraversalRequestNameStack"] = above
                continue
            if default:
                name = default[0]
            elif name != method and getattr(obj, method, None) is not None:
                name, method = method, "index_html"
            else:
                break
        obj = _step(request, obj, name)
        parents.insert(0, obj)
        hook = getattr(obj, "__before_publishing_traverse__", None)
    # Not callable(): that is true of every acquisition wrapper.
    if hasattr(obj, "__call__"):  # noqa: B004
        request.roles = getRoles(obj, "__call__", obj.__call__, request.roles)
        request.ensure_publishable(obj.__call__, True)
    request["PUBLISHED"] = parents.pop(0)
    return obj


def _step(request, obj, name):
    """Return what ``name`` leads to, and note the roles that may publish it."""
    if name in HIDDEN_NAMES:
        request.response.notFoundError(name)
    request["URL"] = f"{request['URL']}/{quote(name)}"
    request._steps.append(quote(name))
    try:
        found = request.traverseName(obj, name)
    except (KeyError, AttributeError, NotFound):
        return request.response.notFoundError(request["URL"])
    except Forbidden:
        return request.response.forbiddenError(name)
    known = hasattr(obj, "__bobo_traverse__") or hasattr(obj, name)
    request.roles = getRoles(obj, name if known else None, found, request.roles)
    request.steps.append(name)
    return found


def _default(request, obj):
    """Return what is published instead of ``obj``, and the names that lead on."""
    if IBrowserPublisher.providedBy(obj):
        publisher = obj
    else:
        publisher = queryMultiAdapter((obj, request), IBrowserPublisher)
        if publisher is None:
            publisher = DefaultPublishTraverse(obj, request)
    try:
        published, names = publisher.browserDefault(request)
    except NotImplementedError:  # a view that cannot be called
        return request.response.notFoundError(request["URL"])
    return published, tuple(names or ())


def _authorize(request, published):
    """Raise Unauthorized unless the task's user may call what was found.

    The check of ``PluggableAuthService.validate``, for a user who is known.
    """
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


def _answer(response, with_body=True):
    headers = {
        name: value
        for name, value in response.headers.items()
        if name not in HIDDEN_HEADERS
    }
    return Response(
        status=response.getStatus(),
        headers=CaseInsensitiveDict(headers),
        spool=Spool(_body(response) if with_body else BytesIO()),
    )


def _body(response):
    """Return the body as a binary file."""
    body = response.body
    if hasattr(body, "read"):
        return body
    if IUnboundStreamIterator.providedBy(body):
        return _Stream(body)
    # What was sent with response.write() comes first.
    return BytesIO(response.stdout.getvalue() + body)


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
