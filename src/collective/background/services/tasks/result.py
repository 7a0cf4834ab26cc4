"""What a task has returned, as an answer: that of its view, or JSON.

Comes in: a record that the user may see. Goes out: the body of the answer. Called by
``get``.
"""

from collective.background.model import states
from collective.background.model.records import BatchResult
from collective.background.model.records import Response
from collective.background.services.representing import ask_again_later
from collective.background.services.representing import refuse
from collective.background.showing.handing_out import file_name
from collective.background.showing.handing_out import hand_out
from collective.background.showing.handing_out import harmless_type
from collective.background.showing.handing_out import JSON
from collective.background.showing.handing_out import SpoolIterator
from collective.background.showing.serializing import NO_JSON
from collective.background.showing.serializing import serialize_error
from collective.background.showing.visibility import task_result
from plone.restapi.serializer.converters import json_compatible

import json


def answer_with_result(record, request):
    """Return the body of the answer to a request for the result of a task."""
    response = request.response
    ask_again_later(record, response)
    result = task_result(record.id)
    if isinstance(result, Response) and not 300 <= result.status < 400:
        return _replay(result, request)
    response.setHeader("Content-Type", JSON)
    if record.state not in states.FINISHED:
        answer = refuse(response, 404, "The task has not ended yet")
    elif result is None and record.state != states.SUCCEEDED:
        answer = refuse(response, 404, f"The task has {record.state}, without a result")
    else:
        hand_out(request, JSON)
        return _as_json(result, request)
    return json.dumps(answer, indent=2)


def _replay(result, request):
    """Answer with the status and the body with which the view has answered.

    And with the address of what it has created.
    """
    response = request.response
    response.setStatus(result.status)
    name = file_name(result.headers.get("Content-Disposition"))
    hand_out(request, harmless_type(result.headers.get("Content-Type")), name)
    if result.status == 201 and result.location:
        response.setHeader("Location", result.location)
    return SpoolIterator(result.spool) if result.spool.size else ""


def _as_json(result, request):
    """Return a result as a text; if it cannot be JSON, one that says so."""
    try:
        value = json_compatible(_plain(result, request))
        return json.dumps(value, indent=2, allow_nan=False)
    except NO_JSON:
        name = type(result).__name__
        text = f"The result, a {name}, cannot be told as JSON"
        return json.dumps(refuse(request.response, 404, text), indent=2)


def _plain(result, request):
    """Return what is told of a result."""
    match result:
        case Response():  # a browser would go there, and somebody has chosen where
            return {"status": result.status, "location": result.location}
        case BatchResult():
            failures = [
                {"index": failure.index, "item": repr(failure.item)}
                | {"error": serialize_error(failure.error, request)}
                for failure in result.failures
            ]
            return {"done": result.done, "failures": failures}
    return result
