"""Creates a site with the add-on; run by ``zconsole run``, which passes ``app``."""

from instance_probe.sites import add_site

import transaction


add_site(app, "Plone")  # noqa: F821 (zconsole has set it)
transaction.commit()
