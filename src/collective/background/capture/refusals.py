"""Refusals: what could be pickled in part, but must not travel.

Called by the picklers of ``capture/pickling.py`` with what they meet.
"""

from AccessControl.users import BasicUser
from Acquisition import aq_base
from collective.background.capture.reference import describe
from collective.background.exceptions import NotPortable
from collective.background.zopecompat import is_annotations_behavior
from collective.background.zopecompat import is_of_catalog
from persistent import Persistent
from persistent.wref import WeakRef
from Products.CMFCore.interfaces import IMember
from ZODB.Connection import Connection
from zope.publisher.interfaces import IRequest
from zope.publisher.interfaces import IView
from ZPublisher.BaseRequest import BaseRequest
from ZPublisher.BaseResponse import BaseResponse


def check_method(method):
    """Raise NotPortable unless the method can be bound again by its name."""
    owner, name = method.__self__, method.__func__.__name__
    found = getattr(owner, name, None)
    if getattr(found, "__func__", None) is not method.__func__:
        raise NotPortable(
            f"the method {name} of {describe(owner)} cannot be bound again: "
            f"its attribute {name!r} is not that method (it is private, "
            "decorated under another name, or of a base class)"
        )


def check_value(obj):
    """Raise NotPortable for what can be pickled in part, but must not travel."""
    if isinstance(obj, BaseRequest) or IRequest.providedBy(obj):
        raise NotPortable(
            "a request ends with its thread; pass the values that you need of it "
            "(the task has a request of its own, with the same form)"
        )
    if isinstance(obj, BaseResponse):
        raise NotPortable("a response ends with its request")
    if IView.providedBy(obj) and not isinstance(obj, Persistent):
        raise NotPortable(
            f"the view {type(obj).__name__} is bound to its request; schedule a "
            "function or a method of its context, or use schedule_view()"
        )
    if is_annotations_behavior(obj):
        raise NotPortable(
            "a behaviour that keeps its values in annotations cannot be bound again; "
            "pass the content, and adapt it in the task"
        )
    if is_of_catalog(obj):
        raise NotPortable(
            "what a catalog has found is bound to its connection; pass "
            "brain.getObject(), brain.UID or brain.getPath() of each brain"
        )
    if isinstance(obj, Connection):
        raise NotPortable("a ZODB connection belongs to one thread")
    if isinstance(aq_base(obj), BasicUser) or IMember.providedBy(obj):
        raise NotPortable(
            "a user belongs to his user folder, and may have other roles later; pass "
            "his id (user.getId()), or let the task run as him: using(user=…)"
        )
    if isinstance(obj, WeakRef):
        raise NotPortable(
            "a weak reference belongs to the connection of one thread; pass the object "
            "that it refers to"
        )
