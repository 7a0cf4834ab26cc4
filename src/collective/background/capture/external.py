"""Calls of external tasks: what a worker that is no Plone is to do.

Comes in: the name of a task of Celery and a payload, checked here. Goes out: a Call.
"""

from collective.background.capture.call import Call
from collective.background.capture.call import EXTERNAL
from collective.background.capture.pickling import pack
from collective.background.model.external import check_name
from collective.background.model.external import check_queue
from collective.background.model.external import payload_as_json


def capture_external(name, payload, celery_queue):
    """Return a Call of the task ``name`` of an application of Celery.

    ``payload``: what JSON knows; ``celery_queue``: the name of a queue of the broker.
    Raises BadOption.
    """
    check_name("name", name)
    check_queue(celery_queue)
    package = pack((name, payload_as_json(payload), celery_queue))
    return Call(kind=EXTERNAL, name=name, package=package)
