"""Views of one task, whose id is in the address: ``@@name/<id>``.

Comes in: the name after the view's own. Goes out: what the user may see of that task;
NotFound for all else. The base of views in ``browser/`` and ``controlpanel/``.
"""

from collective.background.exceptions import TaskNotFound
from collective.background.showing.page import PageView
from collective.background.showing.visibility import task_result
from collective.background.showing.visibility import visible_record
from functools import cached_property
from zExceptions import NotFound
from zope.interface import implementer
from zope.publisher.interfaces import IPublishTraverse


@implementer(IPublishTraverse)
class TaskView(PageView):
    """``task_id``: what the address says, or None; ``record``: its TaskRecord;
    ``result``: what it has returned, or None."""

    task_id = None

    def publishTraverse(self, request, name):
        if self.task_id is not None:
            raise NotFound(name)
        self.task_id = name
        return self

    @cached_property
    def record(self):
        return self._look_up(visible_record)

    @cached_property
    def result(self):
        return self._look_up(task_result)

    def _look_up(self, find):
        if self.task_id is None:
            raise NotFound("the address has no id of a task")
        try:
            return find(self.task_id)
        except TaskNotFound as error:
            raise NotFound(str(error)) from error
