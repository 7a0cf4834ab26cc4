"""Creates the Plone site of ``make start``, with two editors and a folder for them.

Run by ``zconsole run``, which opens the database and passes ``app``, its root.
What is there already is left alone.
"""

from collective.background.deployment import adopt
from plone import api
from plone.base.utils import get_installer
from plone.distribution.api import site as sites
from zope.component.hooks import setSite

import logging
import transaction


SITE = {
    "site_id": "Plone",
    "title": "Background tasks",
    "description": "A site to try collective.background in",
    "default_language": "en",
    "portal_timezone": "UTC",
    "setup_content": False,
}
# Log-in name and password; the Makefile prints them.
EDITORS = {"editor1": "editor1-demo", "editor2": "editor2-demo"}
FOLDER_ROLES = ["Contributor", "Editor", "Reader"]


def fill(site):
    get_installer(site, site.REQUEST).install_product("countries_demo")
    folder = api.content.create(site, "Folder", "countries", "Countries")
    api.content.transition(folder, "publish")
    for name, password in EDITORS.items():
        api.user.create(f"{name}@example.org", name, password)
        api.user.grant_roles(username=name, roles=FOLDER_ROLES, obj=folder)
    folder.reindexObjectSecurity()
    adopt(site)
    transaction.get().note("Editors and a folder for the example")
    transaction.commit()


def main(app):
    site_id = SITE["site_id"]
    if site_id not in app.objectIds():
        sites.create(app, "classic", SITE)
    site = app[site_id]
    setSite(site)
    if "countries" not in site:
        fill(site)


# Plone's own profiles fill the screen with warnings that mean nothing here.
for logger in ("GenericSetup", "Products.MimetypesRegistry"):
    logging.getLogger(logger).setLevel(logging.ERROR)

main(app)  # noqa: F821 (zconsole has set it)
