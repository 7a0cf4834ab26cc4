"""``eager()``: tasks run at commit, in the thread that commits.

In memory by a scheduler that has no threads; in the database by a watch that has none:
it looks when it is woken up, and goes on until nothing is left.
"""

from AccessControl.SecurityManagement import getSecurityManager
from AccessControl.SecurityManagement import setSecurityManager
from collective.background.api.scheduling import get_scheduler
from collective.background.capture.snapshot import find_database
from collective.background.database import outbox
from collective.background.database.pacing import Pacing
from collective.background.database.private import own_connection
from collective.background.database.watch import Watch
from collective.background.exceptions import BadCall
from collective.background.executing.deadline import Deadline
from collective.background.executing.dispatcher import Dispatcher
from collective.background.executing.executor import Executor
from collective.background.executing.executor import process_executor
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.scheduler import TransactionalScheduler
from collective.background.memory.threads import TaskThreads
from collective.background.zopecompat import own_transaction_manager
from contextlib import contextmanager
from persistent import Persistent
from zope.component import getGlobalSiteManager

import threading


LONGEST = 60  # seconds for all that follows one commit


@contextmanager
def eager():
    """Run tasks at commit, in the thread that commits, instead of in threads.

    Everything else stays as it is: what is scheduled is captured, and runs in an
    environment, a connection and a transaction of its own. Nothing waits for its
    time: ``delay`` and ``backoff`` are as good as 0. Yields the scheduler that is
    used meanwhile; ``get_scheduler()`` returns it as well. On a site with tasks in the
    database it is that of the site. Within another such block it has no effect there.

    Raises BadCall within ``serving()``, whose threads would run them as well.
    """
    in_database = isinstance(get_scheduler(), Persistent)
    with _eager_in_database() if in_database else _eager_in_memory():
        yield get_scheduler()


@contextmanager
def _eager_in_memory():
    site_manager = getGlobalSiteManager()
    usual = site_manager.getUtility(ITransactionalScheduler)
    scheduler = EagerScheduler(settings=usual.settings)
    site_manager.registerUtility(scheduler, ITransactionalScheduler)
    try:
        yield
    finally:
        site_manager.registerUtility(usual, ITransactionalScheduler)


@contextmanager
def _eager_in_database():
    current = outbox.current_watch()
    if isinstance(current, EagerWatch):  # in another such block
        yield
        return
    if current is not None:
        raise BadCall(
            "eager() was called within serving(), where threads run the tasks of the "
            "database; use one of them"
        )
    watch = EagerWatch(EagerExecutor(process_executor().settings), find_database())
    outbox.connect(watch)
    try:
        yield
    finally:
        outbox.connect(None)
        watch.leave(Deadline(0))


# In memory.


class NoThreads(TaskThreads):
    """Runs each task in the thread in which it may start, at once."""

    def start(self, task):
        # The thread is in the middle of a commit; the task gets a transaction
        # manager of its own for the time being.
        with own_transaction_manager():
            self.run(task)


class EagerScheduler(TransactionalScheduler):
    """Runs each task in the thread that commits, at once."""

    THREADS_FACTORY = NoThreads


# In the database.


class EagerDispatcher(Dispatcher):
    """Runs each job in the thread that wakes it up."""

    def wake_up(self):
        for queue, job in self.queues.start():
            try:
                job.run()
            finally:
                queue.end(job)


class EagerExecutor(Executor):
    """Has no threads."""

    def __init__(self, settings):
        super().__init__(settings)
        self.dispatcher = EagerDispatcher(settings.queues)


class EagerPacing(Pacing):
    """Looks at once. ``see_to_all()``: what is done then."""

    def __init__(self, database, changed, has_ended, see_to_all):
        super().__init__(database, changed, has_ended)
        self._see_to_all = see_to_all

    def wake_up(self, within=0.0):
        self._see_to_all()


class EagerWatch(Watch):
    """Looks at the database in the thread that has committed something."""

    def __init__(self, executor, database):
        super().__init__(executor, database)
        self._pacing = EagerPacing(
            database, self.changed, self._is_leaving, self._see_to_all
        )
        self._turn = threading.RLock()
        self._is_at_it = False

    def feeder_of(self, scheduler):
        key = scheduler._p_jar.db().database_name, scheduler._p_oid
        if key not in self._feeders:  # the site may have been committed just now
            with self._apart() as (connection, _):
                self._discover(connection)
        return self._feeders.get(key)

    def leave(self, deadline):
        """Give back what waits; see ``Executor``."""
        with self._turn:
            self._deadline = deadline
            with self._apart():
                self._leave()

    def _see_to_all(self):
        with self._turn:
            # What a task has scheduled, or its end, is seen by who goes on here.
            if self._is_at_it:
                return
            self._is_at_it = True
            try:
                with self._apart() as (connection, manager):
                    self._look_until_nothing_is_left(connection, manager)
            finally:
                self._is_at_it = False

    def _look_until_nothing_is_left(self, connection, manager):
        deadline = Deadline(LONGEST)
        has_more = True
        while has_more and deadline.left():
            has_more = self._look_at_all(connection, manager)
            for feeder in self._known():
                has_more |= bool(feeder.held)
            if not has_more:
                has_more = self._hurry(connection, manager)

    def _hurry(self, connection, manager):
        """Let nothing wait for its time any more; return whether something did."""
        hurried = []

        def hurry(look):
            shards = look.scheduler.shards
            for stored in list(shards.delayed()):
                shards.leave(stored)
                stored.eta = None
                shards.wait(stored)
                hurried.append(stored.id)

        for feeder in self._known():
            self._do(self._looking.transact, connection, manager, feeder, hurry)
        return bool(hurried)

    @contextmanager
    def _apart(self):
        """Yield a connection and its manager; whose thread it is keeps what is his."""
        security = getSecurityManager()
        try:
            with own_transaction_manager(), own_connection(self._database) as connected:
                yield connected
        finally:
            setSecurityManager(security)
