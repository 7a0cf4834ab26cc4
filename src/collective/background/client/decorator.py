"""``@background_task``: tasks of Celery that are background tasks of Plone."""

from collective.background.client.task import BackgroundTask
from collective.background.client.task import Stopped
from functools import wraps

import logging


logger = logging.getLogger(__name__)

HEADER = "background"  # of the message


class NotFromPlone(Exception):
    """A message has no address and no token: somebody else has sent it."""


def background_task(function):
    """Let a task of Celery be a background task of Plone; a decorator below its own.

    ::

        @app.task(bind=True, name="ingest.summarize")
        @background_task
        def summarize(task, payload): ...

    The function gets a BackgroundTask, and the payload of ``schedule_external()``. What
    it returns is the result. One that Plone does not want any more returns None.
    """

    @wraps(function)
    def run(celery_task, payload=None):
        told = (celery_task.request.headers or {}).get(HEADER)
        if told is None:
            raise NotFromPlone(
                f"the message for {celery_task.name} has no header {HEADER!r}; send it "
                "with schedule_external()"
            )
        try:
            with BackgroundTask(told["url"], told["token"], celery=celery_task) as task:
                task.result = function(task, payload)
                return task.result
        except Stopped as reason:
            logger.info("%s was stopped: %s", celery_task.name, reason)
            return None

    return run
