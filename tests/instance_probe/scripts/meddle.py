"""A script on a site with tasks in the database that wait: it does all that it may.

Prints, as JSON, what has become of each task by then, and the marks that tasks have
left behind.
"""

from AccessControl.SecurityManagement import newSecurityManager
from AccessControl.users import system
from collective.background import get_scheduler
from collective.background import using
from instance_probe.tasks import write
from zope.component.hooks import setSite

import json
import transaction


site = app.Plone  # noqa: F821 (who runs it has set it)
setSite(site)
newSecurityManager(None, system)
scheduler = get_scheduler()
waiting = [record.id for record in scheduler.records()]
own = using(title="by a script").schedule(write, site, "by a script")
transaction.commit()
scheduler.cancel(waiting[0])
transaction.commit()
scheduler.retry(waiting[0])
transaction.commit()
transaction.begin()
states = [scheduler.record(id).state for id in (*waiting, own)]
print(json.dumps([states, dict(site.marks)]))  # noqa: T201
