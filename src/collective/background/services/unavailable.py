"""The answer of the REST API where no more tasks are taken."""

from collective.background.exceptions import Unavailable
from collective.background.showing.unavailable import answer_unavailable
from plone.rest.errors import ErrorHandling
from plone.rest.interfaces import IAPIRequest
from zope.component import adapter


@adapter(Unavailable, IAPIRequest)
class UnavailableService(ErrorHandling):
    """Called by the publisher for an Unavailable, with which a call ends."""

    def __call__(self):
        answer_unavailable(self.request, self.context)
        return super().__call__()
