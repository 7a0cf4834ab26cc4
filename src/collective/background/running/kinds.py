"""The kinds of calls, and how each is made once its environment is there.

Each kind is a class; the runner makes an object of it for every run, asks it
for its request, and calls ``run(env)`` inside the attempt's transaction.
``run`` returns the result, or raises Failed where there is a result in spite of
an error. ``save(execution, env, package)`` is called before the commit, with the
Package of the result; ``conflicted()`` before an attempt is repeated. Batches are
many transactions, and in ``batch.py``.
"""

from collective.background.capture.call import CALL
from collective.background.capture.call import EXTERNAL
from collective.background.capture.call import REQUEST
from collective.background.capture.call import VIEW
from collective.background.capture.unpickling import unpack
from collective.background.environment.request import make_request
from collective.background.exceptions import NoResponse
from collective.background.exceptions import NotSent
from collective.background.exceptions import ResponseFailed
from collective.background.exceptions import Retry
from collective.background.interfaces import IMessenger
from collective.background.model.external import digest_of
from collective.background.model.external import ExternalMessage
from collective.background.model.external import HEADER
from collective.background.model.external import LIFETIME
from collective.background.model.external import new_token
from collective.background.model.records import Response
from collective.background.model.spool import Spool
from collective.background.running.current import current_task
from collective.background.running.publishing import Failed
from collective.background.running.publishing import publish
from dataclasses import replace
from math import ceil
from requests.structures import CaseInsensitiveDict
from zope.component import getUtility
from zope.component.hooks import getSite

import json
import requests


REQUEST_TIMEOUT = 15  # seconds
MAX_BODY = 10_000_000  # bytes that are kept of the answer of a web server
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds until a message is sent once more


class CallKind:
    """``schedule()``: a function or a method."""

    def __init__(self, call):
        self.call = call

    def make_request(self, snapshot):
        return make_request(snapshot)

    def conflicted(self):
        """Nothing is kept from one attempt to the next."""

    def save(self, execution, env, package):
        """Let the success be committed together with the work."""
        execution.save_success(env, package)

    def committed(self, execution):
        """Called once all of that is committed; what it raises fails the task."""

    def run(self, env):
        function, args, kwargs = unpack(self.call.package, env.app)
        return function(*args, *self.call.extra, **kwargs)


class ViewKind(CallKind):
    """``schedule_view()``: a view, published with its own method, form and body."""

    def make_request(self, snapshot):
        view = self.call.view
        # Of the headers of the visitor's request, this one would decide what is
        # published.
        environ = {"REQUEST_METHOD": view.method, "HTTP_ACCEPT": "text/html"}
        for name, value in view.headers.items():
            variable = name.upper().replace("-", "_")
            if variable not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                variable = f"HTTP_{variable}"
            environ[variable] = value
        environ["CONTENT_LENGTH"] = str(view.body.size)
        return make_request(snapshot, environ, view.body.open())

    def run(self, env):
        context, steps, form = unpack(self.call.package, env.app)
        view = self.call.view
        return publish(env, context, steps, form, view.query, view.form_type)


class RequestKind(CallKind):
    """``schedule_request()``: an HTTP request to anywhere."""

    def run(self, env):
        method, url, kwargs = unpack(self.call.package, env.app)
        kwargs = {"timeout": REQUEST_TIMEOUT, **kwargs, "stream": True}
        try:
            with requests.request(method, url, **kwargs) as answer:
                response = Response(
                    status=answer.status_code,
                    headers=_without_cookies(answer.headers),
                    spool=Spool(_Content(answer), limit=MAX_BODY),
                )
        except requests.RequestException as error:
            # Without the error and those behind it: they have the whole address.
            raise NoResponse(
                f"{self.call.name} got no answer: {_reason(error)}"
            ) from None
        if response.spool.truncated:
            current_task().message(
                f"The answer to {self.call.name} is longer than {MAX_BODY} bytes; "
                "the rest of it was cut off",
                type="warning",
            )
        if response.status >= 400:
            error = ResponseFailed(
                f"{self.call.name} answered with the status {response.status} "
                f"{answer.reason}",
                response.status,
            )
            raise Failed(error, response)
        return response


class ExternalKind(CallKind):
    """``schedule_external()``: a message to a worker that is no Plone.

    It goes out once the token is committed with which that worker reports. When it
    could not be sent, or nobody knows, the task is sent anew, with another token: so
    one message at the most is of any use.
    """

    def run(self, env):
        name, payload, queue = unpack(self.call.package, env.app)
        execution = current_task()
        self._token = new_token()
        headers = {
            "url": f"{getSite().absolute_url()}/++api++/@tasks/{execution.id}",
            "token": self._token,
        }
        self._message = ExternalMessage(
            name=name,
            queue=queue,
            payload=json.loads(payload),
            title=execution.title,
            headers={HEADER: headers},
            expires=LIFETIME,
        )

    def save(self, execution, env, package):
        expires = ceil(min(LIFETIME, execution.time_to_begin()))
        self._message = replace(self._message, expires=expires)
        execution.save_token(env, digest_of(self._token))

    def committed(self, execution):
        try:
            getUtility(IMessenger).send(self._message)
        except NotSent as error:
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(execution.failures, 10))
            raise Retry(str(error), delay) from error


def _reason(error):
    """Return what an error of requests comes from, without any address."""
    cause = error
    while deeper := cause.__cause__ or cause.__context__:
        cause = deeper
    name = type(error).__name__
    is_of_system = isinstance(cause, OSError) and cause is not error
    return f"{name} ({cause})" if is_of_system else name


class _Content:
    """Reads the decoded body of an answer as a file."""

    def __init__(self, answer):
        self._chunks = answer.iter_content(1 << 16)

    def read(self, size):
        return next(self._chunks, b"")


def _without_cookies(headers):
    kept = CaseInsensitiveDict(headers)
    kept.pop("set-cookie", None)
    return kept


KINDS = {
    CALL: CallKind,
    VIEW: ViewKind,
    REQUEST: RequestKind,
    EXTERNAL: ExternalKind,
}
