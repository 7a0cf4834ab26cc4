"""Creates a site with the add-on; run by ``zconsole run``, which passes ``app``."""

from BTrees.OOBTree import OOBTree
from Products.CMFPlone.factory import addPloneSite

import transaction


site = addPloneSite(
    app,  # noqa: F821 (zconsole has set it)
    "Plone",
    setup_content=False,
    extension_ids=(
        "plone.app.contenttypes:default",
        "plone.restapi:default",
        "collective.background:default",
    ),
)
# What lets all content conflict that is created at the same time: the one counter of
# versions, and the lists of words.
site.portal_repository.setVersionableContentTypes([])
site.portal_catalog.manage_delIndex(["SearchableText", "Title", "Description"])
site.marks = OOBTree()  # what the tasks of the tests leave behind
transaction.commit()
