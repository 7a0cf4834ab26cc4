"""The instances of a cluster, and who of them is alive.

Each process that serves has an Instance in each database, for all sites in it, which
nobody else writes: a heartbeat. What it has reserved of a site is in a Holding there.
"""

from BTrees.OOBTree import OOBTree
from collective.background.capture.snapshot import find_database
from collective.background.model.config import CELERY
from datetime import datetime
from datetime import UTC
from math import inf
from persistent import Persistent
from persistent.timestamp import TimeStamp
from time import monotonic
from types import MappingProxyType


VERSION = 1
KEY = "collective.background.instances"  # in the root of the database
BEATS = 6  # heartbeats in the time of a lease
SLACK = 5.0  # seconds that a look may take longer than usual
LATE = 1.0  # seconds by which one may be late
RECONNECT = 30.0  # seconds that a client may need until it can write again


class Instance(Persistent):
    """A process.

    - ``id``: ``host:pid:token``; ``role``: as in the settings
    - ``beat``: a number that changes while it is alive; who looks at it measures
      the time, as the clocks of machines may differ
    - ``slots``: the number of slots by the name of the queue, empty if it executes
      nothing
    - ``limits``: as in the settings
    - ``lease``: as there (seconds), on which its ``beat`` depends; 0.0: not known
    - ``is_draining``: whether it ends, and begins nothing more; it still has its queues
    - ``relays``: the names of the queues whose tasks it sends to workers of Celery, a
      tuple; ``is_cut_off``: whether it cannot reach the broker for that
    """

    limits = MappingProxyType({})
    lease = 0.0
    is_draining = is_cut_off = False
    relays = ()

    def __init__(self, id, role, slots, limits=limits, lease=lease):
        self.version = VERSION
        self.id = id
        self.role = role
        self.slots = dict(slots)
        self.limits = dict(limits)
        self.lease = lease
        self.beat = 0

    @property
    def sends(self):
        """Those of its ``relays`` for which it can be reckoned with now."""
        return () if self.is_cut_off else self.relays

    @property
    def is_celery_worker(self):
        """Whether it executes what relays send, and looks for nothing by itself."""
        return self.role == CELERY

    def lived_until(self):
        """Return when it has ended if it is dead, at the latest (aware)."""
        beaten_at = TimeStamp(self._p_serial).timeTime()
        return datetime.fromtimestamp(beaten_at + self.lease / BEATS + LATE, UTC)


class Holding(Persistent):
    """What an instance has reserved of a site.

    ``tasks``: for each, by its id, ``(fence, started, report)``: the number of the
    reservation; when it has started there (aware), or None; its Report, or None.
    ``uses``: for each, ``(queue, locks)``: what is not there for others as long.
    ``sent``: the ids of those that were reserved for workers of Celery, a tuple.

    All are replaced as a whole.
    """

    uses = MappingProxyType({})
    sent = ()

    def __init__(self, instance):
        self.version = VERSION
        self.instance = instance
        self.tasks = {}

    def keep(self, tasks, uses, sent=sent):
        """These are reserved now; the others: of them, and perhaps of more."""
        self.tasks = tasks
        self.uses = {id: uses[id] for id in tasks if id in uses}
        self.sent = tuple(id for id in tasks if id in sent)


def instances_of(connection):
    """Return {id: Instance} of the database of a connection."""
    return {
        id: instance
        for id, instance in connection.root().get(KEY, {}).items()
        if instance is not None
    }


def instance_of(connection, id):
    """Return the Instance with this id, or None."""
    return connection.root().get(KEY, {}).get(id)


def instances_for(scheduler):
    """Return {id: Instance} of those that may run tasks of a scheduler."""
    return instances_of(_connection_for(scheduler))


def is_known_for(scheduler, id):
    """Whether the instance with this id is one of them."""
    return instance_of(_connection_for(scheduler), id) is not None


def _connection_for(scheduler):
    connection = scheduler._p_jar
    database = find_database()
    if database is not None:  # the site may be in another one than Zope
        connection = connection.get_connection(database.database_name)
    return connection


def least_limit(queue, settings, instances):
    """Return how many tasks of a queue may run in the cluster, or infinity.

    ``settings``: those of this process; ``instances``: {id: Instance}.
    """
    limits = [settings.limits, *(each.limits for each in instances.values())]
    return min(each.get(queue, inf) for each in limits)


def add_instance(connection, instance):
    """Let others know of an instance."""
    root = connection.root()
    if KEY not in root:
        root[KEY] = OOBTree({"": None})
    root[KEY][instance.id] = instance


def remove_instance(connection, id):
    """An instance has ended, or is dead."""
    connection.root().get(KEY, {}).pop(id, None)


class Attention:
    """Since when this process looks at others, so that their silence counts.

    Only while it could read and write itself: from look to look, each of which follows
    a heartbeat of its own. After a gap it begins anew, and nobody is dead before all
    had the time to connect again.

    ``gap``: seconds between two looks that are too many.
    """

    def __init__(self, gap):
        self._gap = gap
        self._looked = self._since = None

    def look(self):
        """Return that moment, of the monotonic clock; it may be yet to come."""
        now = monotonic()
        if self._looked is None:
            self._since = now
        elif now - self._looked > self._gap:
            self._since = now + min(now - self._looked, RECONNECT)
        self._looked = now
        return self._since


def gap_of(lease, pause):
    """Return the gap for who looks every ``pause`` seconds, of an Attention."""
    return min(2 * pause + SLACK, lease / 2)


class Silences:
    """For how long others were silent, as this process has seen it.

    ``lease``: of this process (seconds). An instance with a longer one is heard of less
    often, and has that much time.
    ``gap``: see Attention.
    """

    def __init__(self, lease, gap):
        self._lease = lease
        self._attention = Attention(gap)
        self._began = None
        self._since = {}  # (beat, moment of the clock) by id

    def dead(self, others):
        """Return {id: seconds} of those that were silent for longer than the lease.

        ``others``: {id: Instance} of the others, as they are just after a heartbeat of
        this process was committed. The seconds are the lease that counts.
        """
        began, now = self._attention.look(), monotonic()
        if began != self._began:
            self._began = began
            self._since.clear()
        for id, other in others.items():
            if self._since.get(id, (None,))[0] != other.beat:
                self._since[id] = (other.beat, now)
        for id in set(self._since) - set(others):
            del self._since[id]
        if now < began:
            return {}
        leases = {id: max(self._lease, other.lease) for id, other in others.items()}
        return {
            id: leases[id]
            for id, (_, since) in self._since.items()
            if now - since > leases[id]
        }
