"""The worker: what one process does for the tasks of one site.

Two threads that are always there, and one for each running task. The dispatcher of
``scheduling/`` starts those, in the order of queues and priorities; this module
feeds it with what waits in the database, and takes back what has become of it. A
task is claimed in its own thread, just before it runs: of two instances that try,
one conflicts.

Comes in: StoredTasks. Goes out: claims and outcomes. Made by ``workers.py``.
"""

from AccessControl.SecurityManagement import noSecurityManager
from collective.background.database import claims
from collective.background.database.claims import Claim
from collective.background.database.claims import Waiting
from collective.background.database.execution import PersistentExecution
from collective.background.database.housekeeping import Housekeeper
from collective.background.database.housekeeping import settle
from collective.background.database.instances import report_of
from collective.background.database.private import connected
from collective.background.database.private import privately
from collective.background.database.tasks import VERSION
from collective.background.executing.dispatcher import Dispatcher
from collective.background.executing.queues import Job
from collective.background.running import outcome
from collective.background.running.current import keep_log_lines
from collective.background.running.runner import run
from collective.background.scheduling import rules
from collective.background.telling.events import announce
from functools import partial
from time import monotonic
from transaction.interfaces import TransientError
from ZODB.interfaces import IMVCCStorage
from ZODB.POSException import POSKeyError

import logging
import threading


logger = logging.getLogger(__name__)

# Where the storage tells by itself what others have committed (ZEO, and a storage of
# this process alone), it is seen after a GLANCE, elsewhere after a LOOK. To wake up
# is most of what a worker without work costs.
GLANCE = 0.1  # seconds between two questions whether anything was committed, at first
GROWTH = 1.5  # of that, from question to question
LONGEST_GLANCE = 0.5  # seconds
LOOK = 1.0  # seconds between two looks at the database, if there is a reason for any
PACE = 0.1  # seconds between two looks, at the least
PATIENCE = 60.0  # seconds until a scheduler must have been committed
TROUBLE = 5.0  # seconds until the next one, when the database cannot be reached


class Worker:
    """``database``: of Zope; ``home``: the database and the oid of the scheduler;
    ``instance``: the id of this process; ``settings``: Settings."""

    def __init__(self, database, home, instance, settings):
        self._database = database
        self._home, self._oid = home
        self.instance = instance
        self.settings = settings
        self.executes = settings.role != "web"
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._dispatcher = Dispatcher(settings.queues)
        self._waiting = {}  # Waiting, by their oids: what the dispatcher has
        self._fresh = set()  # oids of those that the last look cannot have seen
        self._begun = set()  # ids of those that have a thread
        self.running = {}  # Tasks by their ids, once they are claimed
        self._seen_waiting = 0  # how many tasks waited at the last look
        self._admitted = 0  # how many were admitted since then
        self._unsaved = {}  # what is still to be written: see settle(), by oids
        self._news = True
        self._stopping = False
        self._stopped = threading.Event()
        self._has_looked = self.is_retired = False
        self._housekeeper = Housekeeper(self)
        self._thread = threading.Thread(
            target=self._watch, name="background-worker", daemon=True
        )

    # For the scheduler, in any thread.

    def start(self):
        self._thread.start()

    def admit(self, title):
        """Raise ShuttingDown or QueueFull if there can be no more tasks."""
        with self.lock:
            rules.check_admission(self._stopping)
            waiting = self._seen_waiting + self._admitted
            rules.check_room(waiting, self.settings.max_waiting, title)
            self._admitted += 1

    def take(self, record, oid):
        """A task was just committed: run it here, if there is a free slot.

        ``record``: its TaskRecord; ``oid``: of its StoredTask, which may be out of the
        connection's cache by now, and cannot be loaded before the next transaction.
        """
        # Before the first look it is not known which queues are paused.
        if not (self._has_looked and self.executes and self._is_for_us(record)):
            self.wake_up()
        elif not self._stopping:
            self._push(record, oid)
            self._dispatcher.wake_up()

    def settle(self, claim, task, ended):
        """A task has ended: write what is still to be written of it, and tell.

        ``claim``: the Claim; ``task``: the Task, or None; ``ended``: the Outcome.
        """
        with self.lock:
            self._unsaved[claim.oid] = (claim, task, ended)
        self.wake_up()

    def wake_up(self):
        """There may be something new in the database."""
        with self.lock:
            self._news = True
            self.changed.notify_all()

    def drain(self, deadline):
        """Start nothing more, ask what runs to stop, and leave it to others.

        ``deadline``: a Deadline. What has not stopped by then is left to others as
        well if it may run again; else it is lost.
        """
        self.stop()
        with self.lock:
            deadline.wait_for(self.changed, lambda: not self._begun)
            left = dict(self.running)
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(LOOK)  # it is about to end
        self._save_unsaved()
        self._attempt(lambda scheduler: self._housekeeper.leave(scheduler, left))

    def stop(self):
        """Start nothing more, and ask what runs to stop."""
        with self.lock:
            self._stopping = True
            self._stopped.set()
            self._dispatcher.stop(self)
            for task in self.running.values():
                task.cancel_requested = True
            self.changed.notify_all()

    # The thread that looks at the database.

    def _watch(self):
        patience = monotonic() + PATIENCE
        while not self._stopping:
            try:
                with connected(self._home, self._oid) as (scheduler, manager):
                    self._look_again_and_again(scheduler, manager)
            except Exception as error:
                if isinstance(error, POSKeyError) and error.args[0] == self._oid:
                    # It is new, and its transaction still goes on; or it was packed.
                    if self._has_looked or monotonic() > patience:
                        self._retire()
                    self._pause(GLANCE)
                else:
                    logger.exception("the tasks of the database cannot be looked after")
                    self._stopped.wait(TROUBLE)

    def _look_again_and_again(self, scheduler, manager):
        while not self._stopping:
            began = monotonic()
            manager.begin()
            scheduler._p_activate()
            if scheduler.retired:
                self._retire()
                return
            self._save_unsaved()
            try:
                if self.executes:
                    # By itself: whatever becomes of the rest, we are alive.
                    self._housekeeper.beat(scheduler)
                    manager.commit()
                # Before: what is committed from now on is seen by the next look.
                seen = self._last_transaction()
                with self.lock:
                    self._fresh.clear()
                    self._admitted = 0
                manager.begin()
                told = self._look(scheduler)
                manager.commit()
            except TransientError as conflict:
                logger.debug("another instance was faster: %s", conflict)
                manager.abort()
                seen = None
            else:
                self._has_looked = True
                for record in told:
                    announce(record)
            # However many there are, it takes no more than half of the time.
            self._stopped.wait(max(PACE, monotonic() - began))
            self._wait_for_news(seen)

    def _wait_for_news(self, seen):
        """Wait until it is time for the next look. ``seen``: a transaction's id."""
        if seen is None:
            self._pause(LOOK)
            return
        is_busy = self.running or self._unsaved
        until = monotonic() + (LOOK if is_busy else self._housekeeper.pause)
        glance = GLANCE
        while not self._pause(glance):
            if self._last_transaction() != seen or monotonic() > until:
                return
            glance = min(glance * GROWTH, LONGEST_GLANCE)

    def _last_transaction(self):
        """Return the id of the last one of all instances, or None."""
        if IMVCCStorage.providedBy(self._home.storage):
            # It has a snapshot for each connection. The one for this question would
            # never be given up, and with it the storage keeps all that came since.
            return None
        return self._home.lastTransaction()

    def _retire(self):
        """The site has no such scheduler any more."""
        logger.info("a persistent scheduler is gone, and so is its worker")
        with self.lock:
            self._stopping = self.is_retired = True
            self._dispatcher.stop(self)

    def _pause(self, seconds):
        """Wait, and return whether somebody has woken us up."""
        with self.lock:
            is_woken = self.changed.wait_for(
                lambda: self._news or self._stopping, seconds
            )
            self._news = False
            return is_woken

    def _look(self, scheduler):
        """See what is new, and do what is due; return the records of what ended."""
        told = []
        if self.executes:
            self._follow_pauses(scheduler)
            told = self._find_waiting(scheduler)
            self._find_cancelled(scheduler)
        else:
            self._seen_waiting = scheduler.shards.count_waiting()
        return told + self._housekeeper.work(scheduler)

    def _follow_pauses(self, scheduler):
        for status in self._dispatcher.statuses(self):
            if status.paused != (status.name in scheduler.paused):
                if status.paused:
                    self._dispatcher.resume(status.name, self)
                else:
                    self._dispatcher.pause(status.name, self)

    def _find_waiting(self, scheduler):
        """Give the dispatcher what waits, and take back what does not any more.

        Returns the records of tasks that cannot start at all.
        """
        found = set()
        records = []
        for stored in list(scheduler.shards.waiting()):
            # What is known is not loaded: there may be thousands.
            found.add(stored._p_oid)
            if (
                stored._p_oid in self._waiting
                or not self._is_for_us(stored)
                or stored.version > VERSION
            ):
                continue
            reason = claims.hindrance(scheduler, stored)
            if reason is not None:
                stored.end(outcome.cancelled(reason))
                records.append(settle(scheduler, stored))
            elif not stored.after:
                self._push(stored, stored._p_oid)
            elif claims.is_due(scheduler, stored):
                # For good: those may be forgotten before this one starts, which it
                # does at the next look.
                stored.after = ()
                self.wake_up()
        with self.lock:
            self._seen_waiting = len(found)
            gone = set(self._waiting) - found - self._fresh
            discarded = [self._waiting.pop(oid) for oid in gone]
        for waiting in discarded:
            self._dispatcher.discard(self._job_of(waiting))
        self._dispatcher.wake_up()
        return records

    def _is_for_us(self, task):
        return task.id not in self._begun and task.queue in self._dispatcher.queues

    def _push(self, task, oid):
        waiting = Waiting(id=task.id, oid=oid, queue=task.queue, priority=task.priority)
        at = 0.0
        if task.eta is not None:
            at = monotonic() + claims.seconds_until(task.eta)
        with self.lock:
            self._waiting[waiting.oid] = waiting
            self._fresh.add(waiting.oid)
            self._dispatcher.push(self._job_of(waiting), at)

    def _job_of(self, waiting):
        return Job(
            id=waiting.id,
            queue=waiting.queue,
            priority=waiting.priority,
            source=self,
            run=partial(self._run, waiting),
            refused=partial(self._refused, waiting),
        )

    def _find_cancelled(self, scheduler):
        for id in scheduler.shards.cancelled():
            with self.lock:
                task = self.running.get(id)
                if task is not None and not task.cancel_requested:
                    task.cancel_requested = True
                    self.changed.notify_all()

    # The thread of a task.

    def _run(self, waiting):
        """The whole life of a task's thread; called by the dispatcher."""
        with self.lock:
            is_there = self._waiting.pop(waiting.oid, None) is not None
            # A look that began before the claim was committed finds it once more.
            if not is_there or waiting.id in self._begun:
                return
            self._begun.add(waiting.id)
        try:
            self._claim_and_run(waiting)
        # It is still in the database. Nobody is woken up for it, or who cannot
        # write would try again and again without a pause.
        except TransientError as conflict:
            logger.debug("%s is another instance's: %s", waiting.id, conflict)
        except Exception:
            logger.exception("the task %s could not be begun", waiting.id)
            self._stopped.wait(TROUBLE)
        finally:
            with self.lock:
                self.running.pop(waiting.id, None)
                self._begun.discard(waiting.id)
                self.changed.notify_all()
            noSecurityManager()

    def _claim_and_run(self, waiting):
        claimed = self._claim(waiting)
        if claimed is None:
            return
        claim, task, record, error = claimed
        if error is not None:
            self.settle(claim, task, outcome.failed(error))
            return
        keep_log_lines()
        try:
            announce(record)
            ended = run(PersistentExecution(self, task, claim))
        except BaseException as error:  # SystemExit and the like, of a subscriber
            ended = outcome.failed(error)
        self.settle(claim, task, ended)

    def _claim(self, waiting):
        """Return (Claim, Task, record, error), or None if there is nothing to do.

        ``error``: why the task cannot be loaded, or None.
        """
        with connected(self._home, self._oid) as (scheduler, manager):
            stored = scheduler.shards.find(waiting.id)
            if stored is None or not claims.can_begin(scheduler, stored):
                return None
            fence = stored.claim(self.instance)
            scheduler.shards.move(stored)
            error = None
            try:
                task = stored.make_task(self._database)
            except TransientError:
                raise
            except Exception as reason:  # of the classes of an add-on: anything
                logger.exception("the task %s cannot be loaded", stored.id)
                task, error = None, reason
            claim = self.claim_of(stored, fence)
            record = stored.record()
            with self.lock:
                if self._stopping:
                    return None
                # Before it is committed: who stops from now on asks it to stop, too.
                if task is not None:
                    self.running[stored.id] = task
            manager.commit()
            return claim, task, record, error

    def claim_of(self, stored, fence):
        """Return the Claim of a StoredTask that has an oid."""
        return Claim(
            id=stored.id,
            oid=stored._p_oid,
            fence=fence,
            database_name=self._home.database_name,
        )

    def _refused(self, waiting, error):
        """There is no thread for a task now: another look, or instance, finds it."""
        logger.warning("the task %s has to wait: %s", waiting.id, error)
        with self.lock:
            self._waiting.pop(waiting.oid, None)

    def wait_before_retry(self, task, delay):
        """Let a task wait between two attempts; called by its Execution."""
        with self.lock:
            if not self.changed.wait_for(lambda: task.cancel_requested, delay):
                task.attempts += 1

    # Outcomes.

    def _save_unsaved(self):
        """Write how runs have ended, all at once; what fails is tried again later."""
        with self.lock:
            unsaved, self._unsaved = self._unsaved, {}
        ends = list(unsaved.values())
        if len(ends) > 1 and self._save(*ends):
            return
        # One of them may be what the others have failed for.
        for end in ends:
            if not self._save(end):
                claim, _, _ = end
                with self.lock:
                    self._unsaved[claim.oid] = end

    def _save(self, *ends):
        """Return whether it was possible. ``ends``: arguments of ``settle()``."""
        try:
            records = privately(
                self._home,
                self._oid,
                lambda scheduler: [
                    claims.write_end(scheduler, *end, self._stopping) for end in ends
                ],
            )
        except Exception:
            logger.exception("outcomes of tasks cannot be written, for now")
            return False
        for record in records:
            if record is not None:
                announce(record)
        return True

    def _attempt(self, change):
        try:
            return privately(self._home, self._oid, change)
        except Exception:
            logger.exception("the database could not be told that this process ends")

    def has(self, id):
        """Whether this process takes care of a running task."""
        with self.lock:
            return id in self.running or any(
                task is not None and task.id == id
                for _, task, _ in self._unsaved.values()
            )

    def has_unsaved(self):
        return bool(self._unsaved)

    def reports(self):
        """Return a Report for each running task, by its id."""
        with self.lock:
            return {id: report_of(task) for id, task in self.running.items()}
