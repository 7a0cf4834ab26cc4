"""Views for the tests of ``schedule_view``; ``published_views.zcml`` registers them."""

from AccessControl import getSecurityManager
from collective.background import schedule_view
from plone.protect.interfaces import IDisableCSRFProtection
from Products.Five import BrowserView
from zope.interface import alsoProvides
from zope.interface import implementer
from zope.publisher.interfaces import IPublishTraverse
from zope.publisher.interfaces.browser import IDefaultBrowserLayer

import json


ADDRESSES = (
    "ACTUAL_URL",
    "BASE0",
    "BASE1",
    "BASEPATH1",
    "SERVER_URL",
    "URL",
    "URL0",
    "URL1",
    "URLPATH0",
    "VIRTUAL_URL",
    "VirtualRootPhysicalPath",
)


class ITestLayer(IDefaultBrowserLayer):
    """A layer that only some requests have."""


@implementer(IPublishTraverse)
class Probe(BrowserView):
    """Answers with all that it can learn of how it was published."""

    subpath = ()

    def publishTraverse(self, request, name):
        self.subpath = (*self.subpath, name)
        return self

    def __call__(self):
        request = self.request
        found = {
            "authenticated": request["AUTHENTICATED_USER"].getId(),
            "context": self.context.absolute_url(),
            "form": request.form,
            "language": request.get("LANGUAGE"),
            "left": request["TraversalRequestNameStack"],
            "method": request.method,
            "name": request.steps[-1],
            "parents": [obj.getId() for obj in request["PARENTS"] if obj is not self],
            "published": type(request["PUBLISHED"]).__name__,
            "subpath": self.subpath,
            "user": getSecurityManager().getUser().getId(),
            "virtual root": request.getVirtualRoot(),
            **{name: request.get(name) for name in ADDRESSES},
        }
        request.response.setHeader("Content-Type", "application/json")
        return json.dumps(found)


class Act(BrowserView):
    """Answers with what the function in its form returns when it gets the view."""

    def __call__(self, function):
        return function(self)


class Greet(BrowserView):
    def __call__(self, name, greeting="Hello"):
        return f"{greeting} {name}"


class Later(BrowserView):
    """Schedules the view that is named and answers with the task's id."""

    def __call__(self, name):
        alsoProvides(self.request, IDisableCSRFProtection)
        return schedule_view(self.context, name)
