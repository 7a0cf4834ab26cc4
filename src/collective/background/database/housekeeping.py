"""Housekeeping: what follows the end of a task, heartbeats, rescue, retention.

Called by the worker at every look at the database, in the transaction of that look.
"""

from collective.background.database.instances import Instance
from collective.background.exceptions import TaskLost
from collective.background.model import states
from collective.background.running import outcome
from itertools import islice
from time import monotonic
from time import time

import logging


logger = logging.getLogger(__name__)

REPORT = 1.0  # seconds between two reports of progress, at the least
BEATS = 6  # heartbeats in the time of a lease
TIDY = 5.0  # seconds until somebody else settles what has ended
SWEEP = 5.0  # seconds between two looks for what is too old
AT_ONCE = 100  # tasks that are forgotten in one transaction


def settle(scheduler, stored):
    """A task has ended: do what follows, and return its record."""
    scheduler.shards.move(stored)
    record = stored.record()
    if stored.state in stored.callback_states:
        scheduler.call_back(stored, stored.body.callbacks(stored.state))
    group = scheduler.groups.get(stored.group_id or "")
    if group is not None and not group.told and _has_ended(scheduler, group):
        group.told = True
        whole = scheduler.record(group.id)
        calls = group.callbacks(whole.state)
        scheduler.call_back(stored, calls, title=whole.title, record=whole)
    if scheduler.shards.is_forgotten(stored.id):
        scheduler.forget(stored)
    return record


def _has_ended(scheduler, group):
    for member in map(scheduler.shards.find, group.ids()):
        if member is not None and member.state not in states.FINISHED:
            # If it ends at this very moment, one of the two must see the other.
            scheduler._p_jar.readCurrent(member)
            return False
    return True


def lose(scheduler, stored):
    """The instance of a running task is gone; return its record if it has ended.

    It runs again if it may. So does a batch of which nothing is left to do but to
    say so.
    """
    if stored.rerun or (stored.size and stored.cursor >= stored.size):
        stored.release()
        scheduler.shards.move(stored)
        logger.info("task %s %r is run again", stored.id, stored.title)
        return None
    reason = TaskLost(
        f"the instance {stored.instance} has ended before the task had; what the task "
        "had not committed is undone"
    )
    instance = scheduler.instances_by_id.get(stored.instance)
    stored.keep_report(None if instance is None else instance.reports.get(stored.id))
    stored.fence += 1
    stored.end(outcome.failed(reason, state=states.LOST))
    return settle(scheduler, stored)


class Since:
    """Remembers since when something is so, as this process has seen it."""

    def __init__(self):
        self._since = {}

    def seconds(self, key, value):
        """Return for how long ``value`` of ``key`` was the same at every look."""
        now = monotonic()
        before, since = self._since.get(key, (None, now))
        if before != value:
            since = now
        self._since[key] = (value, since)
        return now - since

    def keep(self, keys):
        """Forget all others."""
        self._since = {key: self._since[key] for key in keys if key in self._since}


class Housekeeper:
    """``worker``: whose process it is."""

    def __init__(self, worker):
        self._worker = worker
        self._lease = worker.settings.lease
        # Seconds until there is something to do, though nobody commits anything.
        self.pause = self._lease / BEATS
        self._beats = Since()
        self._ends = Since()
        self._told = None  # the last reports
        self._told_at = self._swept_at = -float("inf")

    def work(self, scheduler):
        """Do what is due; return the records of tasks that have ended thereby."""
        dead = self._find_dead(scheduler)
        records = self._rescue(scheduler, dead)
        for id in dead:
            # If it is heard of at this very moment, it is not dead.
            scheduler._p_jar.readCurrent(scheduler.instances_by_id[id])
            del scheduler.instances_by_id[id]
        if monotonic() - self._swept_at > SWEEP and self._is_first(scheduler):
            self._swept_at = monotonic()
            self._sweep(scheduler)
        return [record for record in records if record is not None]

    def beat(self, scheduler):
        """Tell the others that this instance is alive, and how far its tasks are."""
        reports = self._worker.reports()
        silence = monotonic() - self._told_at
        me = scheduler.instances_by_id.get(self._worker.instance)
        if me is None:
            slots = self._worker.settings.queues
            me = Instance(self._worker.instance, slots)
            scheduler.instances_by_id[me.id] = me
        elif silence < REPORT or (reports == self._told and silence < self.pause / 2):
            return
        me.tell(reports)
        self._told, self._told_at = reports, monotonic()

    def _find_dead(self, scheduler):
        """Return the ids of the instances that were silent for too long."""
        others = {
            instance.id: instance.beat
            for instance in scheduler.instances_by_id.values()
            if instance is not None and instance.id != self._worker.instance
        }
        dead = {
            id
            for id, beat in others.items()
            if self._beats.seconds(id, beat) > self._lease
        }
        for id in dead:
            logger.warning(
                "instance %s was silent for %s seconds: its tasks are taken over",
                id,
                self._lease,
            )
        self._beats.keep(others)
        return dead

    def _rescue(self, scheduler, dead):
        """See to running tasks, and ended ones, of which nobody takes care."""
        seen = []
        records = []
        for stored in list(scheduler.shards.running()):
            if self._worker.has(stored.id):
                continue
            seen.append(stored.id)
            silence = self._ends.seconds(stored.id, (stored.state, stored.fence))
            if stored.state != states.RUNNING:
                if silence > TIDY or stored.instance in dead:
                    records.append(settle(scheduler, stored))
            elif stored.instance in dead or (
                silence > self._lease and self._is_nobodys(scheduler, stored)
            ):
                records.append(lose(scheduler, stored))
        self._ends.keep(seen)
        return records

    def _is_nobodys(self, scheduler, stored):
        return (
            stored.instance == self._worker.instance
            or stored.instance not in scheduler.instances_by_id
        )

    def _is_first(self, scheduler):
        """Whether it is this instance that sweeps: so that only one does."""
        ids = [id for id in scheduler.instances_by_id if id]
        return not ids or ids[0] == self._worker.instance

    def _sweep(self, scheduler):
        """Forget some of the finished tasks that are too old or too many."""
        expired = scheduler.shards.expired(int(time() * 1_000_000))
        for stored in list(islice(expired, AT_ONCE)):
            scheduler.forget(stored)
        surplus = scheduler.shards.count_ended() - self._worker.settings.keep_count
        if surplus > 0:
            oldest = scheduler.shards.expired(None)
            for stored in list(islice(oldest, min(surplus, AT_ONCE))):
                scheduler.forget(stored)

    def leave(self, scheduler, left):
        """This process ends. ``left``: ids of tasks that it still runs."""
        for id in left:
            stored = scheduler.shards.find(id)
            if (
                stored is not None
                and stored.state == states.RUNNING
                and stored.instance == self._worker.instance
            ):
                lose(scheduler, stored)
        if not self._worker.has_unsaved():
            scheduler.instances_by_id.pop(self._worker.instance, None)
