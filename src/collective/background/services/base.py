"""What the services of the package have in common."""

from collective.background.exceptions import TaskNotFound
from collective.background.interfaces import ISynchronousService
from collective.background.showing.handing_out import keep_private
from collective.background.showing.visibility import visible_record
from plone.restapi.deserializer import json_body
from plone.restapi.exceptions import DeserializationError
from plone.restapi.services import Service
from zExceptions import BadRequest
from zExceptions import NotFound
from zope.interface import implementer
from zope.publisher.interfaces import IPublishTraverse


@implementer(IPublishTraverse, ISynchronousService)
class PathService(Service):
    """A service with names below its own in the address: ``params``, a list.

    Not to become tasks: they would be done long after what they are about.
    """

    def __init__(self, context, request):
        super().__init__(context, request)
        self.params = []
        keep_private(request.response)  # errors too

    def publishTraverse(self, request, name):
        self.params.append(name)
        return self

    def only_param(self):
        """Return the one name that the address has. Raises NotFound."""
        if len(self.params) != 1:
            raise NotFound
        return self.params[0]

    def record(self, task_id):
        """Return the record of a task that the user may see. Raises NotFound."""
        try:
            return visible_record(task_id)
        except TaskNotFound:
            raise NotFound from None

    def only_flag(self, *names):
        """Return the name and the value of what the body, a JSON object, says.

        It must be one of ``names``, and true or false. Raises BadRequest.
        """
        try:
            body = json_body(self.request)
        except DeserializationError as error:
            raise BadRequest(f"The body must be a JSON object: {error.msg}") from error
        match list(body.items()):
            case [(name, bool(value))] if name in names:
                return name, value
        expected = " or ".join(f'{{"{name}": true}}' for name in names)
        raise BadRequest(f"The body must be {expected}, not {body!r:.100}")
