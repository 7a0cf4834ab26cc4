"""Another instance of the cluster, as far as the database knows it.

What it does is written in the transaction of a test, which commits.
"""

from collective.background import get_scheduler
from collective.background.capture.snapshot import find_database
from collective.background.database.instances import add_instance
from collective.background.database.instances import Holding
from collective.background.database.instances import Instance
from collective.background.database.instances import instance_of
from collective.background.database.instances import instances_for
from collective.background.database.private import connected
from collective.background.executing.executor import process_executor
from collective.background.running import outcome
from contextlib import contextmanager
from datetime import datetime
from datetime import UTC
from helpers import TIMEOUT
from threading import Event
from time import monotonic

import transaction


OTHER = "another-host:1:abcd"
SHORT_LEASE = 1.0  # seconds


class Another:
    """An instance that another process would be; ``slots`` as of an Instance.

    ``scheduler``: in whose transaction it writes; None: that of the current site.
    """

    def __init__(self, id=OTHER, role="all", slots=None, scheduler=None):
        self.id = id
        self._scheduler = scheduler
        self._role = role
        self._slots = {"default": 1} if slots is None else slots

    def joins(self):
        """Let others know of it."""
        add_instance(self._root, Instance(self.id, self._role, self._slots))
        return self

    def beats(self):
        """It is alive."""
        instance_of(self._root, self.id).beat += 1

    def reserves(
        self, task_id, *, begins=False, started=None, report=None, is_sent=False
    ):
        """Reserve a task; return its StoredTask.

        ``begins``: whether it also begins it, with a commit. ``started`` and
        ``report``: what it tells in its Holding. ``is_sent``: whether it is for a
        worker of Celery.
        """
        scheduler = self._home
        stored = scheduler.shards.find(task_id)
        if stored.is_reserved:
            stored.release()  # whoever has it is silent
        fence = stored.reserve(self.id, is_sent=is_sent)
        if begins:
            stored.begin(self.id)
        holding = scheduler.holdings.get(self.id) or Holding(self.id)
        tasks = {**holding.tasks, task_id: (fence, started, report)}
        holding.keep(tasks, holding.uses, tasks if is_sent else ())
        scheduler.holdings[self.id] = holding
        return stored

    def begins(self, task_id):
        """Reserve and begin a task; return its StoredTask."""
        return self.reserves(task_id, begins=True, started=datetime.now(UTC))

    def commits(self, task_id, *, result=None, cursor=None):
        """Begin a task, and write what its work writes; return its StoredTask.

        ``result``: what it has returned; ``cursor``: or, of a batch, how many items
        are done, all of them well.
        """
        stored = self.begins(task_id)
        task = stored.make_task(None)
        task.attempts, task.started = stored.status.attempts, stored.status.began
        if cursor is None:
            package = outcome.pack_result(result)
            stored.status.succeed(stored.fence, task, package, self.id)
        else:
            stored.status.reach(stored.fence, task, cursor, [], self.id)
        return stored

    def is_known(self):
        return instance_of(self._root, self.id) is not None

    @property
    def _home(self):
        return self._scheduler or get_scheduler()

    @property
    def _root(self):
        """The connection in which instances are: of the database of Zope."""
        return self._home._p_jar.get_connection(find_database().database_name)


@contextmanager
def elsewhere(scheduler):
    """Yield the scheduler in another connection, and that one's transactions."""
    with connected(scheduler._p_jar.db(), scheduler._p_oid) as (mine, manager):
        yield mine, manager


def until(condition):
    """Wait for what instances do at their looks; ``condition()`` sees what is new."""
    deadline = monotonic() + TIMEOUT
    transaction.begin()
    while not condition():
        assert monotonic() < deadline
        Event().wait(0.01)
        transaction.begin()


def until_looked_who_is_alive():
    """Wait until this process has done that once more, after what is committed now."""

    def beat():
        return instances_for(get_scheduler())[process_executor().instance].beat

    transaction.begin()
    before = beat()
    until(lambda: beat() > before + 1)
