"""Faults: what is done to the instances that execute, and to their database.

One after another, but a new start goes on while the next ones are under way.
"""

from dataclasses import dataclass
from math import inf
from threading import Event
from time import monotonic
from time import time


KILL = "kill"
FREEZE = "freeze"
STOP = "stop"
RESTART = "restart of the database"
OUTAGE = "outage of the database"
KINDS = (KILL, FREEZE, STOP, RESTART, OUTAGE)

SHORTEST, LONGEST = 1.5, 2.5  # of a freeze, or an outage, in leases
LONGEST_PAUSE = 3.0  # seconds between two faults


@dataclass(kw_only=True)
class Fault:
    """``begin``, ``end``: time stamps. An instance that has ended does not come back.

    ``pid``: of the instance; None: it was the database.
    """

    kind: str
    pid: int | None
    begin: float
    end: float = inf

    def overlaps(self, begin, end):
        """Whether it was at some time between these two."""
        return self.begin <= end and begin <= self.end


class Faults:
    """``cluster``: a Cluster; ``names``: of the instances that may be disturbed.

    ``random``: a random.Random; ``lease``: seconds; ``say``: called with a text for
    each fault. ``happened``: the Faults so far.
    """

    def __init__(self, cluster, names, random, lease, say):
        self._cluster = cluster
        self._names = names
        self._random = random
        self._lease = lease
        self._say = say
        self.happened = []

    def happen(self, seconds):
        """Let them happen for so long: each kind once, then each once more, ..."""
        end = monotonic() + seconds
        kinds = []
        while monotonic() < end:
            if not kinds:
                kinds = list(KINDS)
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

    def _disturb(self, kind, name, silence):
        (instance,) = self._cluster.run(**{name: {}})
        fault = self._begin(kind, name, instance.pid)
        if kind == FREEZE:
            instance.freeze()
            Event().wait(silence)
            instance.thaw()
            fault.end = time()
        else:
            (instance.kill if kind == KILL else instance.stop)()
            self._cluster.start(name)

    def _begin(self, kind, name="", pid=None):
        fault = Fault(kind=kind, pid=pid, begin=time())
        self.happened.append(fault)
        self._say(f"{kind} {name} (process {pid})" if name else kind)
        return fault

    def recover(self):
        """Wait until all instances serve."""
        self._cluster.run(**{name: {} for name in self._names})
