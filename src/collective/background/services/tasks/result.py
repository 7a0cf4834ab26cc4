"""What a task has returned, as an answer: that of its view, or JSON.

Comes in: a record that the user may see. Goes out: the body of the answer. Called by
``get``.

A view's answer may be a page or a picture with scripts in it, made of what anybody has
written. So all but JSON is for downloading, and never shown as a page of the site.
"""

from collective.background.model import states
from collective.background.model.records import BatchResult
from collective.background.model.records import Response
from collective.background.services.representing import ask_again_later
from collective.background.services.representing import refuse
from collective.background.showing.visibility import task_result
from dataclasses import asdict
from plone.restapi.serializer.converters import json_compatible
from plone.transformchain.interfaces import DISABLE_TRANSFORM_REQUEST_KEY

import json


JSON = "application/json"
# Of a view's answer, besides its status and body.
HEADERS = ("Content-Type", "Content-Language", "Last-Modified", "Location")


def answer_with_result(record, request):
    """Return the body of the answer to a request for the result of a task."""
    response = request.response
    ask_again_later(record, response)
    result = task_result(record.id)
    if isinstance(result, Response):
        return _replay(result, request)
    response.setHeader("Content-Type", JSON)
    if record.state not in states.FINISHED:
        answer = refuse(response, 404, "The task has not ended yet")
    elif result is None and record.state != states.SUCCEEDED:
        answer = refuse(response, 404, f"The task has {record.state}, without a result")
    else:
        answer = _as_json(result, response)
    return json.dumps(answer, indent=2)


def _replay(result, request):
    """Answer as the view has answered."""
    response = request.response
    response.setStatus(result.status)
    for name in HEADERS:
        if name in result.headers:
            response.setHeader(name, result.headers[name])
    response.setHeader("X-Content-Type-Options", "nosniff")
    kind = result.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        _, _, name = result.headers.get("Content-Disposition", "").partition(";")
        response.setHeader("Content-Disposition", f"attachment;{name}".rstrip(";"))
    # A theme, say, would take the body for a page of the site.
    request.environ[DISABLE_TRANSFORM_REQUEST_KEY] = True
    return result.spool.open() if result.spool.size else ""


def _as_json(result, response):
    if isinstance(result, BatchResult):
        failures = [
            {"index": failure.index, "item": repr(failure.item)}
            | {"error": asdict(failure.error)}
            for failure in result.failures
        ]
        result = {"done": result.done, "failures": failures}
    try:
        return json_compatible(result)
    except TypeError:
        name = type(result).__name__
        return refuse(response, 404, f"The result, a {name}, cannot be told as JSON")
