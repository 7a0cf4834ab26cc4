"""``PATCH @tasks/<id>``: ``{"retry": true}`` or ``{"dismissed": true}``."""

from collective.background.exceptions import IllegalTransition
from collective.background.services.base import PathService
from collective.background.services.representing import ask_again_later
from collective.background.services.representing import refuse
from collective.background.services.representing import represent
from collective.background.showing.visibility import dismiss_task
from collective.background.showing.visibility import retry_task
from zExceptions import BadRequest


ACTIONS = {"retry": retry_task, "dismissed": dismiss_task}


class TasksPatch(PathService):
    def reply(self):
        record = self.record(self.only_param())
        name, wanted = self.only_flag(*ACTIONS)
        if not wanted:
            raise BadRequest(f"{name} can only be true")
        response = self.request.response
        try:
            record = ACTIONS[name](record.id)
        except IllegalTransition as error:
            return refuse(response, 409, str(error))
        ask_again_later(record, response)
        return represent(record, self.request)
