"""What tasks do of which caches have to hear."""

from plone.base.interfaces import IPloneSiteRoot
from z3c.caching.purge import Purge
from zope.event import notify


def change(content):
    """Give content another title."""
    content.title = "changed"
    notify(Purge(content))


def change_or_fail(content):
    """The site cannot be changed."""
    if IPloneSiteRoot.providedBy(content):
        raise ValueError("not the site")
    change(content)
