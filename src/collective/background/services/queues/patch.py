"""``PATCH @task-queues/<name>``: ``{"paused": true}``, or false to resume."""

from collective.background import get_scheduler
from collective.background.services.base import PathService
from collective.background.services.representing import represent_queue
from zExceptions import NotFound


class QueuesPatch(PathService):
    def reply(self):
        name = self.only_param()
        scheduler = get_scheduler()
        if name not in {status.name for status in scheduler.queues()}:
            raise NotFound
        _, paused = self.only_flag("paused")
        change = scheduler.pause if paused else scheduler.resume
        change(name)
        (status,) = (status for status in scheduler.queues() if status.name == name)
        return represent_queue(status)
