"""The persistent scheduler: tasks in the ZODB, for all instances of a site.

Comes in: a Call and Options, in the thread of a request. Goes out: a StoredTask,
written in the caller's own transaction, and records for everybody. A local utility
of the site, in place of the global one; the feeders of the instances that serve
(``feeder.py``) execute what it has.

Who controls a task wants that at once, whatever becomes of his transaction: so
that is done in a transaction of its own, but for tasks that only the current one
knows.
"""

from BTrees.OOBTree import OOBTree
from BTrees.OOBTree import OOTreeSet
from collective.background.capture.call import capture_call
from collective.background.capture.callbacks import queues_of
from collective.background.database import changes
from collective.background.database import elsewhere
from collective.background.database import former
from collective.background.database import listing
from collective.background.database import outbox
from collective.background.database import overview
from collective.background.database import questions
from collective.background.database import waiting
from collective.background.database.blobs import blobs_of_transaction
from collective.background.database.instances import instances_for
from collective.background.database.opening import open_group
from collective.background.database.places import Lines
from collective.background.database.private import connected
from collective.background.database.private import privately
from collective.background.database.room import entrant
from collective.background.database.room import entrant_now
from collective.background.database.settling import News
from collective.background.database.settling import settle
from collective.background.database.shard import new_id
from collective.background.database.shards import Shards
from collective.background.database.tasks import StoredTask
from collective.background.database.wholes import find_any
from collective.background.database.wholes import join
from collective.background.exceptions import TaskNotFound
from collective.background.executing.clock import clock_of
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import process_executor
from collective.background.interfaces import ITransactionalScheduler
from collective.background.model import states
from collective.background.model.options import Options
from collective.background.model.trail import CANCEL
from collective.background.model.trail import RETRY
from collective.background.running import outcome
from collective.background.running.current import running
from collective.background.scheduling import rules
from collective.background.scheduling.actors import intervention
from collective.background.scheduling.execution import Execution
from collective.background.scheduling.external import check_external
from collective.background.scheduling.groups import KIND
from collective.background.scheduling.room import is_bound
from collective.background.telling.events import TaskScheduled
from contextlib import suppress
from datetime import timedelta
from persistent import Persistent
from ZODB.utils import z64
from zope.event import notify
from zope.interface import implementer

import transaction


PLAIN = Options()
VERSION = 1
MAX_BODY = 10_000_000  # bytes; they are in the database until that is packed


@implementer(ITransactionalScheduler)
class PersistentTransactionalScheduler(Persistent):
    """Keeps tasks in the ZODB and lets the instances of the site run them.

    - ``shards``: all tasks; ``groups``: StoredGroups by their id
    - ``holdings``: Holdings, by the ids of the instances that have something
    - ``paused``: names of queues; ``retired``: it belongs to no site any more
    - ``questions``: ids of tasks of which somebody wants to know what they do, or None
    """

    retired = False
    questions = None
    max_body = MAX_BODY

    __parent__ = None  # what a local utility is registered with
    __name__ = "collective.background"

    def __init__(self):
        self.version = VERSION
        self.shards = Shards()
        self.groups = OOBTree({"": None})
        self.holdings = OOBTree({"": None})
        self.paused = OOTreeSet([""])
        self.questions = OOTreeSet([""])

    def __setstate__(self, state):
        if not former.is_former(state):
            super().__setstate__(state)
            return
        self.__init__()
        vars(self).update(former.what_stays(state))
        self._v_former = state

    def renew(self):
        """Write that it begins anew, if it is of the time before the first release.

        Called in transactions that write to it anyway.
        """
        state = getattr(self, "_v_former", None)
        if state is None:
            return
        former.tell(state)
        del self._v_former
        self._p_changed = True
        # So that all its parts belong to the connection from now on.
        self._p_jar.transaction_manager.savepoint(optimistic=True)

    # Scheduling.

    def schedule(self, f, *args, **kw):
        return self.add_task(capture_call(f, args, kw), PLAIN)

    def add_task(self, call, options, group=None):
        settings = process_executor().settings
        check_external(call, options, settings, is_stored=True)
        holder = self._find_holder(options)
        if holder is not None:
            call.close()
            rules.warn_of_own_key(holder, options.unique)
            return holder.id
        stored = self._store(call, options, group)
        record = stored.record()
        notify(TaskScheduled(record))
        news = News(spent=[stored.body])
        wish = entrant(record, after=options.after, is_bound=is_bound())
        outbox.post(self, record, wish, news)
        self._add(stored, news, after=options.after)
        return stored.id

    def add_group(self, group):
        for queue in queues_of(group.callbacks):
            self._check_queue(queue)
        open_group(self, group)

    def run_now(self, call, options, work, group=None):
        holder = self._find_holder(options)
        if holder is not None:
            call.close()
            rules.warn_of_own_key(holder, options.unique)
            return holder.id
        stored = self._store(call, options, group)
        notify(TaskScheduled(stored.record()))
        task = stored.make_task(None)
        task.started = task.created
        task.attempts = 1
        with running(Execution(process_executor(), task)):
            ended = outcome.succeeded(outcome.pack_result(work()))
        instance = process_executor().instance
        fence = stored.reserve(instance)
        stored.status.succeed(fence, task, ended.result, instance)
        news = News(spent=[stored.body, stored.status.result])
        self._add(stored, news)
        self.shards.leave(stored)
        stored.end(ended, task)
        settle(self, stored, news)
        outbox.tell_when_committed(self, news)
        return stored.id

    def check_room(self):
        wish = entrant_now()
        outbox.admit(self, wish).leave(wish)

    def _find_holder(self, options):
        unique = options.unique
        return None if unique is None else self.shards.holder(unique)

    def _store(self, call, options, group):
        """Return a StoredTask of a call in the present environment."""
        outbox.check_admission()
        self.renew()
        if group is not None:
            self.add_group(group)
        settings = process_executor().settings
        task = rules.capture_task(
            call, options, group, None, settings, self.record, self._check_queue
        )
        try:
            home = self.home()
            blobs = blobs_of_transaction()
            shards = outbox.at_hand(outbox.feeder_of(self), task.queue)
            stored = StoredTask(task, *new_id(self._p_jar, shards), home, blobs)
        finally:
            task.close()
        if options.delay:
            # Of the common clock of all instances.
            now = clock_of(self._p_jar.db()).now()
            stored.eta = _later(now, options.delay)
        return stored

    def home(self):
        """Return its oid."""
        if self._p_oid is None:  # the site got it in this very transaction
            transaction.savepoint(optimistic=True)
        return self._p_oid

    def _add(self, stored, news, after=()):
        # Who takes the scheduler away at this very moment sees the task, or we see
        # that it is gone.
        self._p_activate()
        self._p_jar.readCurrent(self)
        stored.after = after
        self.shards.add(stored)
        join(self, stored)
        if after:
            changes.await_others(self, stored, news)

    def _check_queue(self, name):
        if name not in process_executor().settings.queues:
            rules.check_queue(name, self.slots())

    def slots(self):
        """Return the slots of all instances by the name of the queue."""
        slots = dict.fromkeys(process_executor().settings.queues, 0)
        for instance in instances_for(self).values():
            for name, count in instance.slots.items():
                slots[name] = slots.get(name, 0) + count
        return slots

    def report(self, id, token, report):
        def do(scheduler):
            news = News()
            return elsewhere.report(scheduler, id, token, report, news), news

        record, news = privately(self._p_jar.db(), self.home(), do)
        news.tell()
        if news.reached:
            outbox.wake_up(self, news)
        return record

    # Control.

    def cancel(self, id):
        return self._change(id, changes.cancel, intervention(CANCEL))

    def retry(self, id):
        bound = is_bound()

        def admit(stored, after):
            wish = entrant(stored, after=after, is_bound=bound)
            outbox.admit(self, wish).committed(wish)

        return self._change(id, changes.retry, admit, intervention(RETRY))

    def dismiss(self, id):
        return self._change(id, changes.dismiss)

    def remove(self, id):
        # It is there or not; and if it is forgotten meanwhile, that is as well.
        with suppress(TaskNotFound):
            self._change(id, changes.remove, intervention(CANCEL))

    def silence(self, user_id, user_path):
        def do(mine):
            for group in filter(None, mine.groups.values()):
                if (group.user_id, group.user_path) == (user_id, user_path):
                    group.is_silent = True

        privately(self._p_jar.db(), self.home(), do)

    def _change(self, id, change, *arguments):
        """Do something to a task, or to each of a group, and return the record."""

        def do(scheduler):
            if find_any(scheduler, id) is None:
                raise rules.not_found(id)
            news = News()
            change(scheduler, id, news, *arguments)
            return scheduler.record(id), news

        if self._is_new(id):
            record, news = do(self)
        else:
            record, news = privately(self._p_jar.db(), self.home(), do)
            self._p_jar.transaction_manager.get().set_data(self._p_oid, True)
        news.tell()
        outbox.wake_up(self, news)
        return record

    def _has_changed(self):
        """Whether something was changed meanwhile that this transaction cannot see."""
        with suppress(KeyError):
            return self._p_jar.transaction_manager.get().data(self._p_oid)

    def _is_new(self, id):
        """Whether only the current transaction knows a task, or a group."""
        stored = find_any(self, id)
        if stored is None:
            return False
        stored._p_activate()  # the serial of what was not loaded yet is zero as well
        return stored._p_serial == z64

    def forget(self, stored):
        """Remove a StoredTask that has ended, in the current transaction."""
        changes.forget(self, stored)

    def pause(self, queue):
        self._check_queue(queue)
        self._pause(lambda paused: paused.add(queue))

    def resume(self, queue):
        self._check_queue(queue)
        self._pause(lambda paused: paused.discard(queue))

    def _pause(self, change):
        def do(mine):
            mine.renew()
            change(mine.paused)

        privately(self._p_jar.db(), self.home(), do)
        outbox.wake_up(self)

    def drain(self, timeout=None):
        if timeout is None:
            timeout = process_executor().settings.drain_timeout
        rules.check_timeout(timeout)
        outbox.drain(Deadline(timeout))

    def ask_for_stack(self, id):
        def do(mine):
            mine.renew()
            questions.ask(mine, id)

        privately(self._p_jar.db(), self.home(), do)
        outbox.wake_up(self)

    def retire(self):
        """It is about to be taken away: nobody works for it any more."""
        self.retired = True

    # Reading.

    def record(self, id):
        if self._has_changed() and not self._is_new(id):
            with connected(self._p_jar.db(), self.home()) as (present, _):
                return present.record(id)
        what = find_any(self, id)
        if what is None:
            return None
        if what.kind == KIND:
            return listing.record_of_group(self, what)
        return self.record_of(what)

    def record_of(self, stored):
        """Return the TaskRecord of a StoredTask of this scheduler."""
        return listing.record_of(self, stored)

    def completed(self, id):
        record = self.record(id)
        return None if record is None else record.state in states.FINISHED

    def get_result(self, id):
        what = find_any(self, id)
        if what is None:
            return None
        if not self.completed(id):
            return False
        pair = listing.result_of(self, what)
        # When the transaction that reads it commits; if that aborts, it stays.
        self._p_jar.transaction_manager.get().addBeforeCommitHook(
            self._forget_read, (id,)
        )
        return pair

    def _forget_read(self, id):
        if find_any(self, id) is not None:
            changes.remove(self, id, News())

    def peek_result(self, id):
        if not self.completed(id):
            return None
        return listing.result_of(self, find_any(self, id))[0]

    def members(self, id):
        return listing.members(self, id)

    def users(self, id):
        group = self.groups.get(id or "")
        return set() if group is None else set(group.users)

    def arguments(self, id):
        stored = self.shards.find(id)
        return None if stored is None else stored.arguments

    def records(self, *, start=0, limit=50, **filters):
        return listing.records(self, start, limit, filters)

    def count(self, **filters):
        return listing.count(self, filters)

    def stack(self, id):
        stored = self.shards.find(id)
        return None if stored is None else listing.stack_of(self, stored)

    def queues(self):
        return overview.queues(self)

    def lines(self):
        return Lines(self)

    def instances(self):
        return overview.instances(self)

    def wait(self, id, timeout):
        return waiting.wait(self, id, timeout)

    def wait_all(self, timeout):
        waiting.wait_all(self, timeout)


def _later(now, seconds):
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return now.max.replace(tzinfo=now.tzinfo)
