"""Sites for tests: with the add-on, and a place for the marks of tasks."""

from BTrees.OOBTree import OOBTree
from Products.CMFPlone.factory import addPloneSite


def add_site(app, id):
    """Create a site, and return it."""
    site = addPloneSite(
        app,
        id,
        setup_content=False,
        extension_ids=(
            "plone.app.contenttypes:default",
            "plone.restapi:default",
            "collective.background:default",
        ),
    )
    # What lets all content conflict that is created at the same time: the one counter
    # of versions, and the lists of words.
    site.portal_repository.setVersionableContentTypes([])
    site.portal_catalog.manage_delIndex(["SearchableText", "Title", "Description"])
    site.marks = OOBTree()  # what the tasks of the tests leave behind
    return site
