"""Instances of a cluster as their feeders are, on one real storage; nothing runs.

Each has a connection of its own, and makes its looks when a test says so, also two at
the same time. What is reserved is at work once its dispatcher would start it.
"""

from collective.background.database import sent
from collective.background.database.instances import add_instance
from collective.background.database.instances import Instance
from collective.background.database.instances import instances_of
from collective.background.database.instances import remove_instance
from collective.background.database.look import Look
from collective.background.database.looking import usual
from collective.background.database.rescue import rescue_all
from collective.background.running import outcome
from time import monotonic
from transaction import TransactionManager
from ZODB.POSException import ConflictError


class Member:
    """``bare``: a Bare; ``clock``: None is that of its database.

    ``settings``: of the process.
    """

    def __init__(self, bare, clock=None, **settings):
        self._clock = clock or bare.clock
        self.feeder = bare.feeder(**settings)
        self.id = self.feeder.executor.instance
        self._manager = TransactionManager()
        self.connection = bare.database.open(self._manager)
        self._look = None
        settings = self.feeder.settings
        with self._manager:
            slots = settings.queues if self.feeder.executes else {}
            made = Instance(self.id, settings.role, slots, settings.limits)
            add_instance(self.connection, made)

    @property
    def scheduler(self):
        return self.connection.root()["scheduler"]

    def begin(self, dead=(), work=usual):
        """Begin a look, which sees what is committed now.

        ``dead``: ids to rescue; ``work``: see ``looking``.
        """
        began_at = monotonic()
        self._manager.begin()
        for id in dead:
            remove_instance(self.connection, id)
        instances = instances_of(self.connection)
        self._look = Look(
            *(self.feeder, self.scheduler, self._clock, instances, 1),
            began_at=began_at,
        )
        if dead:
            rescue_all(self._look, set(dead))
            sent.rescue(self._look, set(dead))
        work(self._look)
        self._look.finish()

    def commit(self, tells=True):
        """Return whether it did not conflict.

        ``tells``: whether the instance learns that it is committed.
        """
        try:
            self._manager.commit()
        except ConflictError:
            self._manager.abort()
            return False
        for function in self._look.then if tells else ():
            function()
        return True

    def look(self, dead=(), work=usual):
        self.begin(dead, work)
        return self.commit()

    def ends(self, held, state="succeeded", retry_in=None):
        """A task has ended here; the next look settles it."""
        if retry_in is not None:
            self._manager.begin()
            stored = self.scheduler.shards.find(held.claim.id)
            held.task = stored.make_task(None)
            held.ended = outcome.failed(ValueError("not yet"), retry_in=retry_in)
        elif state == "succeeded":
            held.ended = outcome.succeeded(None)
        else:
            held.ended = outcome.failed(ValueError("no"))

    def waits(self):
        """Return what has not ended here, in the order in which it would start."""
        held = self.feeder.held.not_over()
        return sorted(held, key=lambda each: (-each.job.priority, each.job.age))

    def uses(self):
        """Return (queue, locks) of all that is reserved here, as others see it."""
        self._manager.begin()
        holding = self.scheduler.holdings.get(self.id)
        return [] if holding is None else list(holding.uses.values())

    def dies(self):
        self._manager.abort()
        self.connection.close()
