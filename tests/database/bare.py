"""A persistent scheduler in a database of its own, without Zope: nothing runs."""

from collective.background.capture.call import capture_call
from collective.background.capture.snapshot import Snapshot
from collective.background.capture.users import UserReference
from collective.background.celery.relay import Relay
from collective.background.database.feeder import Feeder
from collective.background.database.instances import instances_of
from collective.background.database.look import Look
from collective.background.database.scheduler import PersistentTransactionalScheduler
from collective.background.database.shard import new_id
from collective.background.database.tasks import StoredTask
from collective.background.executing.clock import clock_of
from collective.background.executing.executor import Executor
from collective.background.model.config import Settings
from collective.background.model.options import Options
from collective.background.scheduling.task import Task
from datetime import timedelta
from threading import Condition
from transaction import TransactionManager
from ZODB import DB


KEEP = 3600.0
CACHE = 30_000  # objects, as in Zope: what is loaded twice was changed meanwhile


def make_task(function=len, args=("abc",), call=None, **options):
    """Return a Task of the system user. ``call``: a Call instead of function, args."""
    user = UserReference(kind="system", id="system")
    snapshot = Snapshot(site_path="/plone", user=user, request=None)
    call = call or capture_call(function, args, {})
    return Task(call, snapshot, None, Options(**options), KEEP)


class Bare:
    """``connection`` with the ``scheduler``, and its transactions: ``manager``."""

    def __init__(self):
        self.database = DB(None, cache_size=CACHE)
        self.manager = TransactionManager()
        self.connection = self.database.open(self.manager)
        self.scheduler = PersistentTransactionalScheduler()
        self.connection.root()["scheduler"] = self.scheduler
        self.manager.commit()
        self.manager.begin()

    def add(self, *, eta=None, **options):
        """Schedule a task; ``eta``: seconds from now. Returns the StoredTask."""
        task = make_task(**options)
        stored = StoredTask(task, *new_id(self.connection), self.scheduler._p_oid)
        if eta is not None:
            stored.eta = self.clock.now() + timedelta(seconds=eta)
        self.scheduler.shards.add(stored)
        return stored

    @property
    def clock(self):
        return clock_of(self.database)

    def feeder(self, **settings):
        """Return a Feeder of another process, with these settings."""
        home = self.database, self.scheduler._p_oid
        executor = Executor(Settings(**settings))
        return Feeder(
            executor, None, home, "/plone", None, Condition(), lambda **kw: None
        )

    def look(self, feeder):
        """Return a Look of a feeder, in the current transaction."""
        instances = instances_of(self.connection)
        return Look(feeder, self.scheduler, self.clock, instances, 1)

    def see_to(self, feeder, work):
        """Do ``work(look)`` in a Look that is committed; what it reserves never starts.

        As nobody wakes the dispatcher up.
        """
        look = self.look(feeder)
        work(look)
        look.finish()
        self.manager.commit()
        for function in look.then:
            function()
        self.manager.begin()

    def close(self):
        self.manager.abort()
        self.database.close()


def let_send(feeder):
    """Let a Feeder send to workers of Celery; the messages get nowhere."""
    relay = Relay(feeder.executor, sender=None)  # without its thread
    relay._is_connected = True
    feeder.executor.relay = relay
    return feeder
