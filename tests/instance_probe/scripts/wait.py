"""A script that schedules a task and waits for it; run by ``zconsole run``."""

from collective.background import get_scheduler
from collective.background import schedule
from instance_probe.tasks import write
from zope.component.hooks import setSite

import transaction


site = app.Plone  # noqa: F821 (zconsole has set it)
setSite(site)
schedule(write, site, "by a script")
transaction.commit()
get_scheduler().wait_all(60)
transaction.begin()
assert "by a script" in site.marks
