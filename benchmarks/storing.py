"""What it costs the request to schedule a task that is kept in the database."""

from benchmarks.measure import alternate
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.measure import timed
from collective.background import schedule
from dm.zodb.asynchronous.zope2 import PersistentContext
from dm.zodb.asynchronous.zope2 import PersistentTransactionalScheduler
from instance_probe.tasks import nothing
from persistent.mapping import PersistentMapping
from time import sleep

import transaction


ROUNDS = size(300)
REST = 0.003  # seconds


def dm_task(context):
    """The body of a task of dm.zodb.asynchronous, which loads the object by its oid."""
    context[0].getId()


def measure(folder, cluster):
    folder.peer = PersistentTransactionalScheduler()
    folder.plain = PersistentMapping()
    transaction.commit()

    def ours():
        schedule(nothing, folder)
        transaction.commit()

    def peers():
        def call():
            call.id = folder.peer.schedule(dm_task, PersistentContext(folder))
            transaction.commit()

        result = timed(call)
        # Its thread, which needs the interpreter as well, ends before the next one.
        while folder.peer.completed(call.id) is False:
            transaction.abort()
            sleep(REST)
        folder.peer.remove(call.id)
        transaction.commit()
        return result

    def plainly():
        folder.plain["number"] = folder.plain.get("number", 0) + 1
        transaction.commit()

    own, dm, plain = alternate(
        ROUNDS, lambda: timed(ours), peers, lambda: timed(plainly)
    )
    name = "schedule() and commit, in the database"
    yield Row(name, own, "dm.zodb.asynchronous, the same", dm, most=1.5)
    yield Row(name, own, "to write one object", plain, most=2)
