"""Faults: what is done to the instances that execute, and to their database.

One after another, but a new start goes on while the next ones are under way.
"""

from contextlib import suppress
from dataclasses import dataclass
from math import inf
from threading import Event
from time import monotonic
from time import time

import os
import signal


KILL = "kill"
FREEZE = "freeze"
STOP = "stop"
RESTART = "restart of the database"
OUTAGE = "outage of the database"
KINDS = (KILL, FREEZE, STOP, RESTART, OUTAGE)
# Further ones, of workers of Celery.
CHILD = "kill of a child"
LEADER = "kill of the leader"
FLUSH = "loss of all messages"
RECONNECT = "restart of the broker"
KINDS_OF_CELERY = (*KINDS, CHILD, LEADER, FLUSH, RECONNECT)
DEADLY = (KILL, STOP, LEADER)  # for the whole instance

SHORTEST, LONGEST = 1.5, 2.5  # of a freeze, or an outage, in leases
LONGEST_PAUSE = 3.0  # seconds between two faults


@dataclass(kw_only=True)
class Fault:
    """``begin``, ``end``: time stamps. An instance that has ended does not come back.

    ``pids``: of the instance and its children; none: of the database, or the broker.
    """

    kind: str
    pids: frozenset
    begin: float
    end: float = inf

    def overlaps(self, begin, end):
        """Whether it was at some time between these two."""
        return self.begin <= end and begin <= self.end


class Faults:
    """``cluster``: a Cluster; ``names``: of the instances that may be disturbed.

    ``random``: a random.Random; ``lease``: seconds; ``say``: called with a text for
    each fault; ``broker``: a Redis, by which the instances get what they execute, or
    None. ``happened``: the Faults so far.
    """

    def __init__(self, cluster, names, random, lease, say, broker=None):
        self._cluster = cluster
        self._names = names
        self._random = random
        self._lease = lease
        self._say = say
        self._broker = broker
        self.happened = []

    def happen(self, seconds):
        """Let them happen for so long: each kind once, then each once more, ..."""
        end = monotonic() + seconds
        kinds = []
        while monotonic() < end:
            if not kinds:
                kinds = list(KINDS if self._broker is None else KINDS_OF_CELERY)
                self._random.shuffle(kinds)
            Event().wait(self._random.uniform(0, LONGEST_PAUSE))
            self._happen(kinds.pop())

    def _happen(self, kind):
        # Both are drawn in any case: so the same seed leads to the same faults.
        name = self._random.choice(self._names)
        silence = self._lease * self._random.uniform(SHORTEST, LONGEST)
        if kind in (RESTART, OUTAGE):
            # An instance that begins without a database would end at once.
            self.recover()
            self._disturb_database(kind, silence)
        elif kind in (FLUSH, RECONNECT):
            self._disturb_broker(kind)
        else:
            self._disturb(kind, name, silence)

    def _disturb_database(self, kind, silence):
        fault = self._begin(kind)
        storage = self._cluster.storage
        storage.stop()
        if kind == OUTAGE:
            Event().wait(silence)
        storage.start()
        fault.end = time()

    def _disturb_broker(self, kind):
        self._begin(kind)
        if kind == FLUSH:
            self._broker.flush()
        else:
            self._broker.stop()
            self._broker.start()

    def _disturb(self, kind, name, silence):
        (instance,) = self._cluster.run(**{name: {}})
        if kind == CHILD:
            self._kill_child(instance)
            return
        fault = self._begin(kind, name, instance.pids())
        if kind == FREEZE:
            instance.freeze()
            Event().wait(silence)
            instance.thaw()
            fault.end = time()
            return
        if kind == LEADER:
            instance.kill_alone()
        else:
            {KILL: instance.kill, STOP: instance.stop}[kind]()
        self._cluster.start(name)

    def _kill_child(self, instance):
        """Kill one of the processes in which tasks run, if there are any."""
        children = instance.pids()[1:]
        if children:
            pid = self._random.choice(children)
            self._begin(CHILD, instance.name, [pid])
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, signal.SIGKILL)

    def _begin(self, kind, name="", pids=()):
        fault = Fault(kind=kind, pids=frozenset(pids), begin=time())
        self.happened.append(fault)
        text = ", ".join(map(str, pids))
        self._say(f"{kind} {name} (process {text})" if name else kind)
        return fault

    def recover(self):
        """Wait until all instances serve."""
        self._cluster.run(**{name: {} for name in self._names})
