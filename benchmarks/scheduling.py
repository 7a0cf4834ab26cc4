"""What ``schedule()`` costs the request, and how soon a task begins."""

from benchmarks.measure import alternate
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.measure import timed
from benchmarks.site import enter
from benchmarks.site import leave
from collective.background import get_scheduler
from collective.background import schedule
from dm.zodb.asynchronous.scheduler import TransactionalScheduler
from dm.zodb.asynchronous.zope2 import PersistentContext
from time import perf_counter
from time import sleep

import threading
import transaction
import Zope2


ROUNDS = size(300)
TIMEOUT = 60  # seconds
# The end of one task is not the cost of scheduling the next one: its thread, which
# needs the interpreter as well, has ended by then.
REST = 0.003  # seconds

began = []


def note_begin(folder):
    """The body of a task: when did it begin?"""
    began.append(perf_counter())
    return folder.getId()


def dm_task(context):
    """The same for dm.zodb.asynchronous, which loads the object by its oid."""
    context[0].getId()
    transaction.abort()


def measure(site):
    yield _request_side(site.countries)
    yield _until_it_begins(site.countries)


def _request_side(folder):
    peer = TransactionalScheduler()

    def ours():
        def call():
            call.id = schedule(note_begin, folder)
            transaction.commit()

        result = timed(call)
        get_scheduler().wait(call.id, TIMEOUT)
        sleep(REST)
        return result

    def other():
        def call():
            call.id = peer.schedule(dm_task, PersistentContext(folder))
            transaction.commit()

        result = timed(call)
        while peer.get_result(call.id) is False:
            sleep(REST)
        transaction.commit()
        sleep(REST)
        return result

    ours, other = alternate(ROUNDS, ours, other)
    return Row("schedule() and commit", ours, "dm.zodb.asynchronous", other, most=3)


def _until_it_begins(folder):
    path = folder.getPhysicalPath()

    def ours():
        began.clear()
        id = schedule(note_begin, folder)
        transaction.commit()
        committed = perf_counter()
        get_scheduler().wait(id, TIMEOUT)
        return (began[0] - committed) * 1000

    def by_hand():
        app = Zope2.app()
        enter(app)
        note_begin(app.unrestrictedTraverse(path[1:]))
        leave(app)

    def other():
        began.clear()
        transaction.commit()
        committed = perf_counter()
        thread = threading.Thread(target=by_hand)
        thread.start()
        thread.join()
        return (began[0] - committed) * 1000

    ours, other = alternate(ROUNDS, ours, other)
    return Row("from commit to the task's first line", ours, "by hand", other, most=1.3)
