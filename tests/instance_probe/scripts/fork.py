"""A script that forks while it has tasks; parent and child go on to schedule.

Prints a line for each run of a task: its name, the pid, and the id of the instance.
"""

from collective.background import get_scheduler
from collective.background import schedule
from threading import Event
from zope.component.hooks import setSite

import os
import transaction


begun, go_on = Event(), Event()


def tell(name):
    # At once, as two processes write to the same pipe.
    instance = get_scheduler().instance
    os.write(1, f"{name} {os.getpid()} {instance}\n".encode())


def hold():
    begun.set()
    assert go_on.wait(60)
    tell("running")


def finish(name):
    schedule(tell, name)
    transaction.commit()
    get_scheduler().wait_all(60)


setSite(app.Plone)  # noqa: F821 (zconsole has set it)
schedule(hold)
schedule(tell, "waiting")
transaction.commit()
assert begun.wait(60)
pid = os.fork()
if pid:
    _, status = os.waitpid(pid, 0)
    assert status == 0
    go_on.set()
    finish("parent")
else:
    finish("child")
