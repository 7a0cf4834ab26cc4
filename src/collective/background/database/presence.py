"""Presence: that this process is alive, and which others are not.

For all sites together. Called by the watch, in its connection.
"""

from collective.background.database.claims import hold
from collective.background.database.instances import add_instance
from collective.background.database.instances import BEATS
from collective.background.database.instances import gap_of
from collective.background.database.instances import Instance
from collective.background.database.instances import instance_of
from collective.background.database.instances import instances_of
from collective.background.database.instances import remove_instance
from collective.background.database.instances import Silences
from time import monotonic
from time import time

import logging


logger = logging.getLogger(__name__)


class Presence:
    """``executor``: of the process; ``clock``: the Clock of the database.

    ``pause``: seconds between two heartbeats.
    """

    def __init__(self, executor, clock):
        self._executor = executor
        self._clock = clock
        lease = executor.settings.lease
        self.pause = lease / BEATS
        self._silences = Silences(lease, gap_of(lease, self.pause))
        self._beaten_at = float("-inf")
        self._beat = 0  # the last one
        self._is_draining = False
        self._told = None  # what the last beat has said of it

    def drain(self):
        """This process begins nothing more. In any thread; told by the next beat."""
        self._is_draining = True

    def is_due(self):
        """Whether it is time for a heartbeat."""
        if self._told is not None and self._told != self._news():
            return True
        return monotonic() - self._beaten_at > self.pause

    def beat(self, connection, manager):
        """Let others know that this process is alive, and learn what time it is.

        Returns the ids of instances that are dead, a set.
        """
        manager.begin()
        me = instance_of(connection, self._executor.instance)
        if me is None:
            settings = self._executor.settings
            me = Instance(
                self._executor.instance,
                settings.role,
                self._executor.slots,
                settings.limits,
                settings.lease,
            )
            add_instance(connection, me)
        # Also if others took this process for dead, and it is there anew: to who looks
        # now and then it would be silent if its numbers began anew.
        self._beat = me.beat = max(self._beat, me.beat) + 1
        news = me.is_draining, me.relays, me.is_cut_off = self._news()
        manager.get().note(f"Background tasks: {me.id} is alive")
        before = time()
        manager.commit()
        after = time()
        self._beaten_at = monotonic()
        me._p_activate()
        self._told = news
        self._clock.note(me._p_serial, before, after)
        manager.begin()
        found = instances_of(connection)
        found.pop(me.id, None)
        dead = self._silences.dead(found)
        for id, lease in dead.items():
            logger.warning(
                "instance %s was silent for %s seconds: its tasks are taken over",
                *(id, lease),
            )
        return set(dead)

    def _news(self):
        """What others are to know at once: see the attributes of an Instance."""
        relay = self._executor.relay
        if relay is None or self._is_draining:
            return self._is_draining, (), False
        relays = tuple(sorted(self._executor.settings.queues_of_celery))
        return False, relays, relay.is_cut_off

    def bury(self, connection, manager, dead):
        """Forget the instances with these ids."""
        manager.begin()
        for id in dead:
            instance = instance_of(connection, id)
            if instance is not None:
                hold(instance)  # if it is heard of at this very moment, it is not dead
                remove_instance(connection, id)
        manager.get().note("Background tasks: instances have died")
        manager.commit()

    def end(self, connection, manager):
        """Let others know that this process has ended, and left nothing behind."""
        manager.begin()
        remove_instance(connection, self._executor.instance)
        manager.get().note(f"Background tasks: {self._executor.instance} has ended")
        manager.commit()
