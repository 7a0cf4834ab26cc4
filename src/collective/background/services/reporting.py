"""Reports of workers elsewhere, which are no Plone: ``PATCH @tasks/<id>`` with a token.

Comes in: the token of the task, in a header of its own, and a JSON object. Goes out:
the state of the task, whether the worker is to stop, and after how many seconds of
silence the task is lost; nothing else of it.

No user is looked for. The header is none that a browser sends along by itself, nor may
a page of another site set it; and it is not ``Authorization``, which the worker, and
proxies, may need for the account of a user.
"""

from collective.background.api.scheduling import get_scheduler
from collective.background.exceptions import BadReport
from collective.background.exceptions import TaskNotFound
from collective.background.exceptions import TooManyReports
from collective.background.executing.executor import process_executor
from collective.background.model import states
from collective.background.model.external import MAX_REPORT
from collective.background.model.external import parse_report
from collective.background.services.representing import refuse
from plone.restapi.deserializer import json_body
from plone.restapi.exceptions import DeserializationError
from zExceptions import BadRequest
from zExceptions import NotFound


HEADER = "X-Background-Token"
PAUSE = 1  # seconds until the next report, for who is too fast


def token_of(request):
    """Return the token that a request has, a text, or None."""
    return request.getHeader(HEADER)


def answer_report(task_id, token, request):
    """Note a report, and return the answer. Raises NotFound, BadRequest."""
    response = request.response
    if len(request.get("BODY", b"")) > MAX_REPORT:
        return refuse(
            response, 413, f"A report may have {MAX_REPORT} bytes; shorten the result"
        )
    try:
        report = parse_report(json_body(request))
        record = get_scheduler().report(task_id, token, report)
    except DeserializationError as error:
        raise BadRequest(f"The body must be a JSON object: {error.msg}") from error
    except RecursionError:
        raise BadRequest("The body is nested too deeply") from None
    except BadReport as error:
        raise BadRequest(str(error)) from error
    except TaskNotFound:
        raise NotFound from None
    except TooManyReports as error:
        response.setHeader("Retry-After", str(PAUSE))
        return refuse(response, 429, str(error))
    return {
        "state": record.state,
        "stop": record.cancel_requested or record.state != states.RUNNING,
        "silence": process_executor().settings.silence,
    }
