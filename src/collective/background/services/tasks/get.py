"""``GET @tasks``, ``GET @tasks/<id>`` and ``GET @tasks/<id>/result``."""

from collective.background.services.base import PathService
from collective.background.services.representing import ask_again_later
from collective.background.services.representing import represent
from collective.background.services.tasks.listing import list_tasks
from collective.background.services.tasks.result import answer_with_result
from collective.background.showing.trail import serialize_trail
from collective.background.showing.visibility import is_trusted
from collective.background.showing.visibility import may_manage
from collective.background.showing.visibility import task_arguments
from zExceptions import NotFound


class TasksGet(PathService):
    def render(self):
        if len(self.params) < 2:
            return super().render()
        task_id, *rest = self.params
        if rest != ["result"]:
            raise NotFound
        self.check_permission()
        return answer_with_result(self.record(task_id), self.request)

    def reply(self):
        if not self.params:
            return list_tasks(self.request)
        record = self.record(self.only_param())
        ask_again_later(record, self.request.response)
        represented = represent(record, self.request)
        if may_manage():
            represented |= serialize_trail(record, self.request)
        if may_manage() and is_trusted(record):
            represented["arguments"] = [
                {"name": name, "value": value}
                for name, value in task_arguments(record.id)
            ]
        return represented
