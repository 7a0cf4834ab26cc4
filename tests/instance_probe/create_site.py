"""Creates a site with the add-on; run by ``zconsole run``, which passes ``app``."""

from Products.CMFPlone.factory import addPloneSite

import transaction


addPloneSite(
    app,  # noqa: F821 (zconsole has set it)
    "Plone",
    setup_content=False,
    extension_ids=("plone.restapi:default", "collective.background:default"),
)
transaction.commit()
