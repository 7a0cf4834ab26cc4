"""``PATCH @tasks/<id>``: ``{"retry": true}`` or ``{"dismissed": true}``.

And reports of workers elsewhere, who have no permission but the token of that task.
"""

from AccessControl import getSecurityManager
from collective.background.exceptions import IllegalTransition
from collective.background.services.base import PathService
from collective.background.services.reporting import answer_report
from collective.background.services.reporting import token_of
from collective.background.services.representing import ask_again_later
from collective.background.services.representing import refuse
from collective.background.services.representing import represent
from collective.background.showing.rights import VIEW_OWN
from collective.background.showing.visibility import dismiss_task
from collective.background.showing.visibility import retry_task
from zExceptions import BadRequest
from zExceptions import Unauthorized


ACTIONS = {"retry": retry_task, "dismissed": dismiss_task}


class TasksPatch(PathService):
    """Anybody may call it: who has no token needs the permission of all ``@tasks``."""

    def check_permission(self):
        if token_of(self.request) is None:
            super().check_permission()
            if not getSecurityManager().checkPermission(VIEW_OWN, self.context):
                raise Unauthorized(f"Missing {VIEW_OWN!r} permission")

    def reply(self):
        token = token_of(self.request)
        if token is not None:
            return answer_report(self.only_param(), token, self.request)
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
