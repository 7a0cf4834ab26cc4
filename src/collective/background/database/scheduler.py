"""The persistent scheduler: tasks in the ZODB, for all instances of a site.

Comes in: a Call and Options, in the thread of a request. Goes out: a StoredTask,
written in the caller's own transaction, and records for everybody. A local utility
of the site, in place of the global one; the workers of all instances
(``worker.py``) execute what it has.

Who controls a task wants that at once, whatever becomes of his transaction: so
that is done in a transaction of its own, but for tasks that only the current one
knows.
"""

from BTrees.OOBTree import OOBTree
from BTrees.OOBTree import OOTreeSet
from collections import Counter
from collective.background.capture.call import capture_call
from collective.background.capture.describing import describe_arguments
from collective.background.database.groups import StoredGroup
from collective.background.database.housekeeping import settle
from collective.background.database.private import connected
from collective.background.database.private import privately
from collective.background.database.shards import new_id
from collective.background.database.shards import Shards
from collective.background.database.tasks import StoredTask
from collective.background.database.workers import process_settings
from collective.background.database.workers import worker_of
from collective.background.exceptions import TaskNotFound
from collective.background.exceptions import WaitTimeout
from collective.background.executing.deadline import Deadline
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.reading import unpack_here
from collective.background.model import states
from collective.background.model.options import Options
from collective.background.model.records import InstanceStatus
from collective.background.model.records import QueueStatus
from collective.background.model.selection import Selection
from collective.background.running import outcome
from collective.background.running.current import running
from collective.background.scheduling import rules
from collective.background.scheduling.execution import Execution
from collective.background.scheduling.joining import join_transaction
from collective.background.telling.events import announce
from collective.background.telling.events import note_transition
from collective.background.telling.events import TaskScheduled
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from persistent import Persistent
from threading import Event
from time import monotonic
from ZODB.utils import z64
from zope.event import notify
from zope.interface import implementer

import transaction


PLAIN = Options()
FIRST_LOOK = 0.01  # seconds between two looks of wait(), doubled each time
LAST_LOOK = 0.2


@implementer(ITransactionalScheduler)
class PersistentTransactionalScheduler(Persistent):
    """Keeps tasks in the ZODB and lets the instances of the site run them.

    - ``shards``: all tasks; ``groups``: StoredGroups by their id
    - ``instances_by_id``: the Instances that execute tasks, by their id
    - ``paused``: names of queues; ``retired``: it belongs to no site any more
    """

    retired = False

    __parent__ = None  # what a local utility is registered with
    __name__ = "collective.background"

    def __init__(self):
        self.shards = Shards()
        self.groups = OOBTree({"": None})
        self.instances_by_id = OOBTree({"": None})
        self.paused = OOTreeSet([""])

    # Scheduling.

    def schedule(self, f, *args, **kw):
        return self.add_task(capture_call(f, args, kw), PLAIN)

    def add_task(self, call, options, group=None):
        holder = self._find_holder(options)
        if holder is not None:
            call.close()
            return holder.id
        stored = self._store(call, options, group)
        record = stored.record()
        notify(TaskScheduled(record))
        worker = worker_of(self)
        join_transaction(
            reserve=lambda: worker.admit(record.title),
            finish=lambda: _scheduled(worker, stored._p_oid, record, options.after),
            forget=lambda: None,
        )
        self._add(stored, group)
        return stored.id

    def run_now(self, call, options, work, group=None):
        holder = self._find_holder(options)
        if holder is not None:
            call.close()
            return holder.id
        stored = self._store(call, options, group)
        notify(TaskScheduled(stored.record()))
        worker = worker_of(self)
        worker.admit(stored.title)
        task = stored.make_task(None)
        fence = stored.claim(worker.instance)
        task.attempts, task.started = stored.attempts, stored.started
        with running(Execution(worker, task)):
            ended = outcome.succeeded(outcome.pack_result(work()))
        self._add(stored, group)
        stored.end(ended, task)
        # What follows is the worker's, as ever: its group may not be complete yet.
        self._p_jar.add(stored)  # it gets an oid
        claim = worker.claim_of(stored, fence)
        join_transaction(
            reserve=lambda: None,
            finish=lambda: worker.settle(claim, task, ended),
            forget=lambda: None,
        )
        return stored.id

    def _find_holder(self, options):
        unique = options.unique
        return None if unique is None else self.shards.holder(unique)

    def _store(self, call, options, group):
        """Return a StoredTask of a call in the present environment."""
        self._check_queue(options.queue)
        settings = process_settings()
        task = rules.capture_task(call, options, group, None, settings, self.record)
        try:
            home = self._home()
            return StoredTask(task, new_id(self._p_jar, task.id), home)
        finally:
            task.close()

    def _home(self):
        if self._p_oid is None:  # the site got it in this very transaction
            transaction.savepoint(optimistic=True)
        return self._p_oid

    def _add(self, stored, group=None):
        # Who takes the scheduler away at this very moment sees the task, or we see
        # that it is gone.
        self._p_activate()
        self._p_jar.readCurrent(self)
        self.shards.add(stored)
        if group is not None:
            if group.id not in self.groups:
                self.groups[group.id] = StoredGroup(group)
            self.groups[group.id].members.add(stored.id)

    def _check_queue(self, name):
        if name not in process_settings().queues:
            rules.check_queue(name, self._slots())

    def _slots(self):
        """Return the slots of all instances by the name of the queue."""
        slots = dict.fromkeys(process_settings().queues, 0)
        instances = [instance for instance in self.instances_by_id.values() if instance]
        for instance in instances:
            for name, count in instance.slots.items():
                slots[name] = slots.get(name, 0) + count
        return slots

    def call_back(self, stored, calls, title=None, record=None):
        """Schedule the callbacks of ``stored``, or of a group to which it belongs.

        ``calls``: Calls; ``title`` and ``record``: of the group.
        """
        for call in calls:
            callback = rules.make_callback(
                replace(call, extra=(record or stored.record(),)),
                title or stored.title,
                stored.body.snapshot,
                None,
                stored,
            )
            self.shards.add(
                StoredTask(callback, new_id(self._p_jar, callback.id), stored.home)
            )

    # Control.

    def cancel(self, id):
        return self._change(id, "cancel_here")

    def retry(self, id):
        return self._change(id, "retry_here")

    def dismiss(self, id):
        return self._change(id, "dismiss_here")

    def remove(self, id):
        # It is there or not; and if it is forgotten meanwhile, that is as well.
        with suppress(TaskNotFound):
            self._change(id, "remove_here")

    def _change(self, id, method):
        """Do something to a task, or to each of a group, and return the record."""

        def change(scheduler):
            if not scheduler._knows(id):
                raise rules.not_found(id)
            return getattr(scheduler, method)(id)

        if self._is_new(id):
            record, changed = change(self)
        else:
            record, changed = privately(self._p_jar.db(), self._home(), change)
        for each in changed:
            announce(each)
        worker_of(self).wake_up()
        return record

    def _knows(self, id):
        return self.shards.find(id) is not None or bool(id and id in self.groups)

    def _is_new(self, id):
        """Whether only the current transaction knows a task, or a group."""
        stored = self.shards.find(id) or (self.groups.get(id) if id else None)
        if stored is None:
            return False
        stored._p_activate()  # the serial of what was not loaded yet is zero as well
        return stored._p_serial == z64

    # In the transaction of whoever calls them. They return the record, and those of
    # the tasks that have changed their states.

    def _each(self, id, method):
        changed = [
            record
            for member in self.groups[id].ids()
            if self.shards.find(member) is not None
            for record in getattr(self, method)(member)[1]
        ]
        return self.record(id), changed

    def cancel_here(self, id):
        if id in self.groups:
            return self._each(id, "cancel_here")
        stored = self.shards.find(id)
        if stored.state in states.WAITING:
            stored.end(
                outcome.cancelled(rules.cancelled_while_waiting(stored.attempts))
            )
            record = settle(self, stored)
            return record, [record]
        if stored.state == states.RUNNING:
            self._p_jar.readCurrent(stored)  # see Shard.move
            self.shards.of(id).cancelled.add(id)
        return self.record(id), []

    def retry_here(self, id):
        if id in self.groups:
            return self._retry_group(id)
        stored = self.shards.find(id)
        states.check_transition(id, stored.state, states.QUEUED)
        if stored.unique is not None:
            rules.check_unique(id, stored.unique, self.shards.holder(stored.unique))
        worker_of(self).admit(stored.title)
        self.shards.no_longer_expiring(stored)
        stored.requeue()
        self.shards.move(stored)
        if stored.group_id in self.groups:
            self.groups[stored.group_id].told = False
        record = stored.record()
        return record, [record]

    def _retry_group(self, id):
        members = [self.shards.find(member) for member in self.groups[id].ids()]
        ended = [
            member
            for member in members
            if member and states.can_be_retried(member.state)
        ]
        rules.check_retries(id, ended)
        changed = [record for m in ended for record in self.retry_here(m.id)[1]]
        return self.record(id), changed

    def dismiss_here(self, id):
        if id in self.groups:
            return self._each(id, "dismiss_here")
        stored = self.shards.find(id)
        rules.check_dismissal(stored)
        stored.dismissed = True
        return self.record(id), []

    def remove_here(self, id):
        if id in self.groups:
            return self._each(id, "remove_here")
        record, changed = self.cancel_here(id)
        stored = self.shards.find(id)
        if stored.state in states.FINISHED:
            self.forget(stored)
        else:
            self.shards.of(id).forgotten.add(id)
        return record, changed

    def forget(self, stored):
        """Remove a task that has ended."""
        if stored.state != stored.hint:  # its worker comes too late
            settle(self, stored)
        self.shards.remove(stored)
        group = self.groups.get(stored.group_id or "")
        if group is not None and stored.id in group.members:
            group.members.remove(stored.id)
            if not group.ids():
                del self.groups[group.id]

    def pause(self, queue):
        self._check_queue(queue)
        self._pause(lambda paused: paused.add(queue))

    def resume(self, queue):
        self._check_queue(queue)
        self._pause(lambda paused: paused.discard(queue))

    def _pause(self, change):
        privately(self._p_jar.db(), self._home(), lambda mine: change(mine.paused))
        worker_of(self).wake_up()

    def drain(self, timeout=None):
        if timeout is None:
            timeout = process_settings().drain_timeout
        worker_of(self).drain(Deadline(timeout))

    def retire(self):
        """It is about to be taken away: nobody works for it any more."""
        self.retired = True

    # Reading.

    def record(self, id):
        if id and id in self.groups:
            group = self.groups[id]
            records = [self.record(member) for member in group.ids()]
            return group.record([record for record in records if record])
        stored = self.shards.find(id)
        return None if stored is None else self._record(stored)

    def _record(self, stored):
        if stored.state != states.RUNNING:
            return stored.record()
        instance = self.instances_by_id.get(stored.instance)
        report = None if instance is None else instance.reports.get(stored.id)
        return stored.record(report, self.shards.is_cancelled(stored.id))

    def completed(self, id):
        record = self.record(id)
        return None if record is None else record.state in states.FINISHED

    def get_result(self, id):
        stored = self.shards.find(id)
        if stored is None:
            return None
        if stored.state not in states.FINISHED:
            return False
        kept = stored.kept
        pair = None, None
        if kept is not None:
            pair = unpack_here(kept.result), unpack_here(kept.exception)
        # In the transaction that reads it; if that aborts, it stays.
        self.forget(stored)
        return pair

    def peek_result(self, id):
        stored = self.shards.find(id)
        kept = stored and stored.kept
        return None if kept is None else unpack_here(kept.result)

    def arguments(self, id):
        stored = self.shards.find(id)
        return None if stored is None else describe_arguments(stored.body.call)

    def records(self, *, start=0, limit=50, **filters):
        stop = None if limit is None else start + limit
        found = self.shards.select(Selection(**filters))
        return [self._record(stored) for stored in islice(found, start, stop)]

    def count(self, **filters):
        return self.shards.count(Selection(**filters))

    def queues(self):
        statuses = []
        for name, slots in self._slots().items():
            running = self.count(queue=name, states=states.RUNNING)
            waiting = self.count(queue=name, states=states.WAITING)
            statuses.append(
                QueueStatus(
                    name=name,
                    slots=slots,
                    running=running,
                    waiting=waiting,
                    paused=name in self.paused,
                )
            )
        return statuses

    def instances(self):
        running = Counter(
            task.instance for task in self.shards.select(Selection(states="running"))
        )
        return [
            InstanceStatus(
                id=instance.id, slots=dict(instance.slots), running=running[instance.id]
            )
            for instance in self.instances_by_id.values()
            if instance is not None
        ]

    def wait(self, id, timeout):
        def look(mine):
            record = mine.record(id)
            if record is None:
                raise rules.not_found(id)
            # Also what follows, such as callbacks, is to be there.
            return record.state in states.FINISHED and mine._is_tidy(id), record

        record, has_ended = self._wait_for(look, timeout)
        if not has_ended:
            raise WaitTimeout(
                f"task {id} {record.title!r} is still {record.state} after {timeout} s"
            )
        return record

    def _is_tidy(self, id):
        """Whether what follows the end of a task, or of each of a group, is done."""
        ids = self.groups[id].ids() if id in self.groups else [id]
        found = filter(None, map(self.shards.find, ids))
        return all(stored.state == stored.hint for stored in found)

    def wait_all(self, timeout):
        def look(mine):
            left = mine.records(states=states.UNFINISHED, limit=10)
            is_tidy = all(task.state == task.hint for task in mine.shards.running())
            return not left and is_tidy, left

        left, have_ended = self._wait_for(look, timeout)
        if not have_ended:
            raise WaitTimeout(
                f"after {timeout} s there are still unfinished tasks: "
                + ", ".join(f"{record.title!r} ({record.state})" for record in left)
            )

    def _wait_for(self, look, timeout):
        """Look until it is so; return what was seen last, and whether it is so.

        ``look(scheduler)``: returns whether it is so, and what was seen.
        """
        deadline = monotonic() + timeout
        pause = FIRST_LOOK
        with connected(self._p_jar.db(), self._home()) as (mine, manager):
            while True:
                manager.begin()
                is_so, seen = look(mine)
                left = deadline - monotonic()
                if is_so or left <= 0:
                    return seen, is_so
                Event().wait(min(pause, left))
                pause = min(pause * 2, LAST_LOOK)


def _scheduled(worker, oid, record, after):
    """The transaction that has scheduled a task is committed."""
    note_transition(record)
    if after:
        worker.wake_up()
    else:
        worker.take(record, oid)
