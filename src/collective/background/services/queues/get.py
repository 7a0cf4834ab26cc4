"""``GET @task-queues``: the queues of the process."""

from collective.background import get_scheduler
from collective.background.services.base import PathService
from collective.background.services.representing import represent_queue
from zExceptions import NotFound
from zope.component.hooks import getSite


class QueuesGet(PathService):
    def reply(self):
        queues = {status.name: status for status in get_scheduler().queues()}
        if not self.params:
            return {
                "@id": f"{getSite().absolute_url()}/@task-queues",
                "items": [represent_queue(status) for status in queues.values()],
                "items_total": len(queues),
            }
        name = self.only_param()
        if name not in queues:
            raise NotFound
        return represent_queue(queues[name])
