"""The watch: the one thread of a process that looks at its database.

For all sites: it finds those that keep their tasks there, lets others know that this
process is alive, and makes the looks of each site's feeder. Begun when the process
begins to serve; nothing else begins it."""

from collective.background.database import outbox
from collective.background.database.feeder import Feeder
from collective.background.database.instances import add_instance
from collective.background.database.instances import Instance
from collective.background.database.instances import instance_of
from collective.background.database.instances import instances_of
from collective.background.database.instances import remove_instance
from collective.background.database.instances import Silences
from collective.background.database.look import Look
from collective.background.database.look import SWEEP
from collective.background.database.sites import sites_with_tasks
from collective.background.exceptions import TaskFailed
from collective.background.executing.clock import clock_of
from collective.background.executing.executor import process_executor
from collective.background.model.outages import is_outage
from collective.background.running import outcome
from time import monotonic
from time import time
from transaction import TransactionManager
from transaction.interfaces import TransientError
from ZODB.interfaces import IMVCCStorage
from ZODB.POSException import POSKeyError

import logging
import threading


logger = logging.getLogger(__name__)

# Where the storage tells by itself what others have committed (ZEO, and a storage of
# this process alone), it is seen after a GLANCE, elsewhere after a LOOK. To wake up
# is most of what an instance without work costs.
GLANCE = 0.1  # seconds between two questions whether anything was committed, at first
GROWTH = 1.5  # of that, from question to question
LONGEST_GLANCE = 0.5  # seconds
LOOK = 1.0  # seconds between two looks at the database, if there is a reason for any
PACE = 0.02  # seconds between two looks, at the least
PATIENCE = 0.1  # seconds that an end may wait to be written, if others go on meanwhile
TROUBLE = 1.0  # seconds until the next one, when the database cannot be reached
DISCOVERY = 60.0  # seconds between two looks for sites
BEATS = 6  # heartbeats in the time of a lease
SHOWN = 200  # characters of an error
LEAVING = 3.0  # seconds to write down what is left at the end, at the least


class Watch:
    """``executor``: of the process; ``database``: that of Zope."""

    def __init__(self, executor, database):
        self.executor = executor
        self._database = database
        # A signal may come while its own thread has it.
        self.changed = threading.Condition(threading.RLock())
        self._feeders = {}  # by the name of the database and the oid of the scheduler
        self._news_since = 0.0  # when somebody has woken us up; None: nobody
        self._is_urgent = True
        self.is_stopping = False
        self._deadline = None  # of the end, once it has come to that
        self._has_left = threading.Event()
        self.lost = []  # titles of tasks
        self._troubles = {}  # the class of the error by what is not possible
        settings = executor.settings
        self._pause = settings.lease / BEATS
        self._silences = Silences(settings.lease, gap=2 * self._pause + 5 * TROUBLE)
        self._beaten_at = self._discovered_at = float("-inf")
        self._clock = clock_of(database)
        self._thread = threading.Thread(
            target=self._run, name="background-watch", daemon=True
        )

    # In any thread.

    def start(self):
        self.executor.register(self)
        outbox.connect(self)
        self._thread.start()

    def feeder_of(self, scheduler):
        """Return the Feeder for a scheduler, or None while it is not known."""
        key = scheduler._p_jar.db().database_name, scheduler._p_oid
        with self.changed:
            feeder = self._feeders.get(key)
            if feeder is None:
                self._discovered_at = float("-inf")
                self.wake_up()
            return feeder

    def wake_up(self, is_urgent=True):
        """There may be something new in the database."""
        with self.changed:
            self._is_urgent |= is_urgent
            if self._news_since is None:
                self._news_since = monotonic()
            self.changed.notify_all()

    def stop(self):
        """Start nothing more; ask those to stop that may run again. See Executor."""
        with self.changed:
            self.is_stopping = True
            for feeder in self._feeders.values():
                feeder.stop()

    def leave(self, deadline):
        """Wait for what runs; return the titles of what is lost. See Executor."""
        with self.changed:
            deadline.wait_for(self.changed, lambda: not self._is_running())
            self._deadline = deadline.extended(LEAVING)
            self.wake_up()
        # It may be in the middle of something that takes for ever, without a database.
        while self._deadline.left() and not self._has_left.wait(
            min(0.05, self._deadline.left())
        ):
            continue
        if not self._has_left.is_set():
            logger.warning(
                "the database could not be told that this process ends; what runs here "
                "is taken over by others after %s s",
                self.executor.settings.lease,
            )
        return self.lost

    def _is_running(self):
        return any(feeder.running() for feeder in self._feeders.values())

    # The thread.

    def _run(self):
        try:
            while self._deadline is None:
                try:
                    self._look_with_connection()
                except Exception as error:
                    if self._deadline is None:
                        self._complain("the database cannot be looked at", error)
                        self._wait_in_trouble()
            self._leave()
        except Exception:
            logger.exception("the database could not be told that this process ends")
        finally:
            self._has_left.set()

    def _complain(self, what, error):
        """Log a trouble, with its traceback if it is a new one."""
        kind = type(error)
        is_new = self._troubles.get(what) is not kind
        self._troubles[what] = kind
        logger.log(
            logging.ERROR if is_new else logging.WARNING,
            "%s, for now: %s: %s",
            *(what, kind.__name__, error),
            exc_info=is_new,
        )

    def _wait_in_trouble(self):
        with self.changed:
            self.changed.wait_for(lambda: self._deadline is not None, TROUBLE)

    def _look_with_connection(self):
        """Look again and again, in one connection."""
        manager = TransactionManager()
        connection = self._database.open(transaction_manager=manager)
        try:
            while self._deadline is None:
                began = monotonic()
                manager.begin()
                if began - self._discovered_at > DISCOVERY:
                    self._discover(connection)
                if began - self._beaten_at > self._pause:
                    self._show_life(connection, manager)
                seen = self._last_transaction()
                has_more = self._look_at_all(connection, manager)
                # Or a storage with snapshots keeps all that comes from now on.
                manager.abort()
                self._wait(began, seen, has_more)
        finally:
            manager.abort()
            connection.close()

    def _discover(self, connection):
        """See which sites keep their tasks in the database."""
        discovered_at = monotonic()
        found = {}
        for path, scheduler in sites_with_tasks(connection, self._database):
            home = scheduler._p_jar.db()
            found[home.database_name, scheduler._p_oid] = (home, path)
        with self.changed:
            for key in set(self._feeders) - set(found):
                if not self._feeders[key].held:
                    logger.info("the site %s is gone", self._feeders[key].path)
                    del self._feeders[key]
            for key, (home, path) in found.items():
                if key in self._feeders:
                    self._feeders[key].path = path
                elif not self.is_stopping:
                    self._feeders[key] = Feeder(
                        self.executor,
                        self._database,
                        (home, key[1]),
                        path,
                        self.changed,
                        self.wake_up,
                    )
            self._discovered_at = discovered_at

    def _show_life(self, connection, manager):
        try:
            self._beat(connection, manager)
            self._rescue(connection, manager)
        except TransientError as conflict:
            manager.abort()
            if is_outage(conflict):
                raise
            logger.debug("another instance was faster: %s", conflict)

    def _beat(self, connection, manager):
        """Let others know that this process is alive, and learn what time it is."""
        if not self._feeders:
            return
        me = instance_of(connection, self.executor.instance)
        if me is None:
            settings = self.executor.settings
            slots = {} if settings.role == "web" else settings.queues
            me = Instance(self.executor.instance, settings.role, slots)
            add_instance(connection, me)
        me.beat += 1
        manager.get().note(f"Background tasks: {me.id} is alive")
        before = time()
        manager.commit()
        after = time()
        self._beaten_at = monotonic()
        me._p_activate()
        self._clock.note(me._p_serial, before, after)

    def _rescue(self, connection, manager):
        """See to the tasks of instances that are dead."""
        manager.begin()
        found = instances_of(connection)
        me = found.pop(self.executor.instance, None)
        if me is None:
            return
        dead = self._silences.dead({id: each.beat for id, each in found.items()})
        for id in dead:
            logger.warning(
                "instance %s was silent for %s seconds: its tasks are taken over",
                id,
                self.executor.settings.lease,
            )
        for feeder in self._known(connection):
            self._transact(connection, manager, feeder, lambda look: look.rescue(dead))
        if dead:
            manager.begin()
            for id in dead:
                # If it is heard of at this very moment, it is not dead.
                found[id]._p_activate()
                connection.readCurrent(found[id])
                remove_instance(connection, id)
            manager.get().note("Background tasks: instances have died")
            manager.commit()

    def _known(self, connection):
        """Return the feeders of the sites that are still there."""
        with self.changed:
            return list(self._feeders.values())

    def _look_at_all(self, connection, manager):
        """Make a look for each site; return whether there is more to do at once."""
        has_more = is_in_trouble = False
        for feeder in self._known(connection):
            done = self._transact(connection, manager, feeder, _usual)
            if done is None and feeder.over():
                self._settle_one_by_one(connection, manager, feeder)
                done = self._transact(connection, manager, feeder, _usual)
            has_more |= bool(done)
            is_in_trouble |= done is None
        if is_in_trouble:
            self._wait_in_trouble()
        return has_more

    def _settle_one_by_one(self, connection, manager, feeder):
        """One of the ends may be what the others could not be written for."""
        for held in feeder.over():

            def settle(look, held=held):
                look.settle_ends(held)

            if self._transact(connection, manager, feeder, settle) is not None:
                continue
            if held.ended is None or held.is_bare:
                continue
            ended, held.ended, held.is_bare = held.ended, _bare(held.ended), True
            if self._transact(connection, manager, feeder, settle) is None:
                # Nothing can be written now, so it is not because of this end.
                held.ended, held.is_bare = ended, False
        return False

    def _transact(self, connection, manager, feeder, work):
        """Do ``work(look)`` for a site in a transaction of its own.

        Returns whether there is more to do at once; None if it was not possible.
        """
        what = f"the tasks of {feeder.path} cannot be seen to"
        manager.begin()
        try:
            home = connection.get_connection(feeder.home.database_name)
            scheduler = home.get(feeder.oid)
            scheduler._p_activate()
            if scheduler.retired:
                self._forget(feeder)
                return False
            look = Look(feeder, scheduler, self._clock, instances_of(connection))
            work(look)
            look.finish()
            manager.get().note(f"Background tasks of {feeder.path}")
            manager.commit()
        except TransientError as conflict:
            manager.abort()
            if is_outage(conflict):
                self._complain(what, conflict)
                return None
            logger.debug("another instance was faster: %s", conflict)
            return True
        except POSKeyError as error:
            manager.abort()
            if error.args[0] != feeder.oid:
                raise
            self._forget(feeder)  # its site was deleted, and packed away
            return False
        except Exception as error:
            manager.abort()
            self._complain(what, error)
            return None
        self._troubles.pop(what, None)
        look.committed()
        self.lost += look.news.lost
        return look.has_more

    def _forget(self, feeder):
        """The site has no such scheduler any more."""
        logger.info("the tasks of %s are gone", feeder.path)
        feeder.stop()
        with self.changed:
            self._feeders.pop((feeder.home.database_name, feeder.oid), None)

    def _wait(self, began, seen, has_more):
        """Wait until it is time for the next look; ``seen``: a transaction's id."""
        # However many there are, looks take no more than half of the time.
        took = monotonic() - began
        with self.changed:
            self.changed.wait_for(
                lambda: self._deadline is not None, max(PACE, min(took, LOOK))
            )
            is_busy = any(feeder.held for feeder in self._feeders.values())
            is_needed = bool(self._feeders)
        if has_more:
            return
        if not is_needed:
            self._is_woken(monotonic() + DISCOVERY, DISCOVERY)
            return
        until = monotonic() + (LOOK if is_busy or seen is None else self._pause)
        glance = GLANCE
        while not self._is_woken(until, LOOK if seen is None else glance):
            if monotonic() >= until or (seen and self._last_transaction() != seen):
                return
            glance = min(glance * GROWTH, LONGEST_GLANCE)

    def _is_woken(self, until, seconds):
        """Wait, and return whether somebody has woken us up, and it is time."""
        end = min(until, monotonic() + seconds)
        with self.changed:
            while True:
                since = self._news_since
                if self._deadline is not None:
                    return True
                if since is not None:
                    if self._is_urgent or monotonic() - since >= PATIENCE:
                        self._news_since, self._is_urgent = None, False
                        return True
                    end = min(end, since + PATIENCE)
                left = end - monotonic()
                if left <= 0:
                    return False
                self.changed.wait(left)

    def _last_transaction(self):
        """Return the id of the last one of all instances, or None."""
        if IMVCCStorage.providedBy(self._database.storage):
            # It has a snapshot for each connection. The one for this question would
            # never be given up, and with it the storage keeps all that came since.
            return None
        return self._database.lastTransaction()

    def _leave(self):
        """Write down what is left, once: the process does not wait for a second try."""
        manager = TransactionManager()
        connection = self._database.open(transaction_manager=manager)
        try:
            for feeder in self._known(connection):
                self._transact(connection, manager, feeder, _last)
            manager.begin()
            if not any(feeder.over() for feeder in self._known(connection)):
                remove_instance(connection, self.executor.instance)
                manager.get().note(
                    f"Background tasks: {self.executor.instance} has ended"
                )
                manager.commit()
        finally:
            manager.abort()
            connection.close()


def _bare(ended):
    """Return the Outcome of a run whose end cannot be written as it is."""
    text = ended.state
    if ended.error is not None:
        text = f"{ended.error.type}: {ended.error.message[:SHOWN]}"
    return outcome.failed(
        TaskFailed(f"how the task has ended could not be written; it was: {text}")
    )


def _usual(look):
    look.check_claims()
    look.settle_ends()
    look.follow_requests()
    look.check_groups()
    look.follow_pauses()
    look.reserve()
    look.report()
    if monotonic() - look.feeder.swept_at > SWEEP and look.is_first():
        look.sweep()
    look.count()


def _last(look):
    look.settle_ends()
    look.leave()


def begin(event):
    """Called when this process begins to serve."""
    Watch(process_executor(), event.database).start()
