"""How tasks and queues look in the answers of the REST API.

Comes in: records that ``showing/visibility.py`` has let through. Goes out: what
``json.dumps`` takes, and how errors are told.
"""

from collective.background.model import states
from collective.background.model.settings import background_settings
from collective.background.showing.serializing import serialize
from collective.background.zopecompat import status_reason
from dataclasses import asdict
from zope.component.hooks import getSite


def task_url(task_id):
    """Return the address of a task."""
    return f"{getSite().absolute_url()}/@tasks/{task_id}"


def represent(record, request):
    """Return a dictionary of a TaskRecord, with addresses."""
    url = task_url(record.id)
    represented = {"@id": url, **serialize(record, request)}
    if record.has_result:
        represented["result"] = {"@id": f"{url}/result"}
    return represented


def represent_queue(status):
    """Return a dictionary of a QueueStatus."""
    url = f"{getSite().absolute_url()}/@task-queues/{status.name}"
    return {"@id": url, **asdict(status)}


def ask_again_later(record, response):
    """Say when to ask again for a task that has not ended."""
    if record.state in states.UNFINISHED:
        response.setHeader("Retry-After", str(background_settings().poll_interval))


def refuse(response, status, message):
    """Answer with an error. ``status``: 4xx or 5xx; returns what is to be returned.

    For what no exception of Zope stands for, and a "not found" with an explanation:
    an exception's is lost.
    """
    response.setStatus(status)
    return {"type": status_reason(status).replace(" ", ""), "message": message}
