"""Support for the tests of add-ons that schedule tasks.

Layers with the add-on installed, ``drain()`` to wait for threads, ``serving()`` to
execute tasks of the database meanwhile, ``eager()`` to do without threads,
``scheduled()`` to see what was scheduled, ``tick()`` for recurring tasks, ``queues()``
and ``upload()`` for what a project and its visitors bring along.
"""

from collective.background.api.scheduling import get_scheduler
from collective.background.capture.snapshot import find_database
from collective.background.database import outbox
from collective.background.database.watch import Watch
from collective.background.exceptions import NotCommitted
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import process_executor
from collective.background.interfaces import ITaskScheduled
from collective.background.interfaces import ITransactionalScheduler
from collective.background.recurring.state import find_state
from collective.background.recurring.ticks import find_due
from collective.background.recurring.ticks import see_to
from collective.background.scheduling.joining import scheduled_here
from collective.background.testing.eagerly import eager
from collective.background.testing.surroundings import queues
from collective.background.testing.surroundings import upload
from contextlib import contextmanager
from persistent import Persistent
from plone import api
from plone.app.testing import applyProfile
from plone.app.testing import FunctionalTesting
from plone.app.testing import IntegrationTesting
from plone.app.testing import PLONE_FIXTURE
from plone.app.testing import PloneSandboxLayer
from zope.component import getGlobalSiteManager
from zope.i18n import translate

import transaction
import zope.event


__all__ = [
    "BACKGROUND_FIXTURE",
    "BACKGROUND_FUNCTIONAL_TESTING",
    "BACKGROUND_INTEGRATION_TESTING",
    "CollectiveBackgroundLayer",
    "drain",
    "eager",
    "queues",
    "scheduled",
    "serving",
    "tick",
    "upload",
]

TIMEOUT = 60  # seconds; far more than a test's task should take


def drain(timeout=TIMEOUT):
    """Wait until no task waits or runs, and begin a new transaction.

    ``timeout``: seconds; raises WaitTimeout after that. What the tasks have
    committed is seen from then on. Raises NotCommitted if the current transaction has
    scheduled something: that would be forgotten, as a new one begins.
    """
    _check_committed()
    scheduler = get_scheduler()
    if isinstance(scheduler, Persistent):
        with serving():
            scheduler.wait_all(timeout)
    else:
        scheduler.wait_all(timeout)
    transaction.begin()


def _check_committed():
    titles = [translate(title) for title in scheduled_here()]
    if titles:
        raise NotCommitted(
            "drain() was called before the commit of what the current transaction has "
            f"scheduled: {', '.join(map(repr, titles))}; call transaction.commit() "
            "before, or transaction.abort()"
        )


@contextmanager
def serving(timeout=TIMEOUT):
    """Let this process execute tasks of the database for the time of a block.

    A test run does not, of its own accord. Within another such block it has no effect.
    ``timeout``: how many seconds running tasks have to end afterwards. Yields the Watch
    that finds the sites of the current database.
    """
    watch = outbox.current_watch()
    if watch is not None:
        yield watch
        return
    watch = Watch(process_executor(), find_database())
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
        watch.leave(Deadline(timeout))
        watch.executor.forget(watch)
        outbox.connect(None)


@contextmanager
def scheduled():
    """Yield a list which receives a TaskRecord for each task that is scheduled.

    Without a commit nothing runs, so this is enough where only the scheduling
    is to be tested.
    """
    records = []

    def note(event):
        if ITaskScheduled.providedBy(event):
            records.append(event.record)

    # Not in the registry: threads of tasks may be looking there, and it is not made for
    # being changed meanwhile.
    zope.event.subscribers.append(note)
    try:
        yield records
    finally:
        zope.event.subscribers.remove(note)


def tick(now):
    """Schedule the recurring tasks of the current site that are due at a moment.

    ``now``: an aware datetime; later than that of the call before. As in a site, the
    first call starts nothing: from then on ticks count. Returns the ids of what was
    scheduled; it runs when the transaction commits. Raises QueueFull and ShuttingDown.
    """
    site = api.portal.get()
    started = []
    for task in find_due(site, now).tasks:
        for line in see_to(task, site, now).lines:
            line()
        state = find_state(site, task.name)
        if state.last == now:
            started.append(state.task_id)
    return started


class CollectiveBackgroundLayer(PloneSandboxLayer):
    """A Plone site with the add-on; a base for the layers of add-ons.

    No task outlives the test that has scheduled it.
    """

    defaultBases = (PLONE_FIXTURE,)

    def setUpZope(self, app, configurationContext):
        import collective.background

        self.loadZCML(package=collective.background)

    def setUpPloneSite(self, portal):
        applyProfile(portal, "collective.background:default")

    def testTearDown(self):
        scheduler = getGlobalSiteManager().getUtility(ITransactionalScheduler)
        scheduler.wait_all(TIMEOUT)
        for record in scheduler.records(limit=None):
            scheduler.remove(record.id)


BACKGROUND_FIXTURE = CollectiveBackgroundLayer()

BACKGROUND_INTEGRATION_TESTING = IntegrationTesting(
    bases=(BACKGROUND_FIXTURE,), name="CollectiveBackground:Integration"
)

BACKGROUND_FUNCTIONAL_TESTING = FunctionalTesting(
    bases=(BACKGROUND_FIXTURE,), name="CollectiveBackground:Functional"
)
