"""A script that ends before its tasks: one that runs, and one that waits."""

from collective.background import using
from instance_probe.tasks import answer
from threading import Event
from zope.component.hooks import setSite

import transaction


begun = Event()


def hang():
    begun.set()
    Event().wait()


site = app.Plone  # noqa: F821 (zconsole has set it)
setSite(site)
using(title="hanging one").schedule(hang)
using(title="waiting one").schedule(answer, site, "waiting one")
transaction.commit()
assert begun.wait(60)
