"""The sites of an application in which the add-on is installed."""

from plone.base.interfaces import IPloneSiteRoot
from plone.browserlayer.interfaces import ILocalBrowserLayerType


PACKAGE = "collective.background"


def find_sites(container):
    """Yield them, where Zope's own page of sites finds them as well."""
    for obj in container.objectValues():
        if IPloneSiteRoot.providedBy(obj):
            layers = obj.getSiteManager().queryUtility
            if layers(ILocalBrowserLayerType, name=PACKAGE) is not None:
                yield obj
        elif obj.meta_type == "Folder":
            yield from find_sites(obj)
