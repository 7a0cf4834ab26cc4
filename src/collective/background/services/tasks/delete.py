"""``DELETE @tasks/<id>``: cancel a task, or forget one that has ended."""

from collective.background.exceptions import IllegalTransition
from collective.background.model import states
from collective.background.services.base import PathService
from collective.background.services.representing import ask_again_later
from collective.background.services.representing import refuse
from collective.background.services.representing import represent
from collective.background.showing.visibility import cancel_task
from collective.background.showing.visibility import forget_task


class TasksDelete(PathService):
    def reply(self):
        record = self.record(self.only_param())
        response = self.request.response
        try:
            if record.state in states.FINISHED:
                forget_task(record.id)
                return self.reply_no_content()
            record = cancel_task(record.id)
        except IllegalTransition as error:  # as of a group with the tasks of others
            return refuse(response, 409, str(error))
        ask_again_later(record, response)
        return represent(record, self.request)
