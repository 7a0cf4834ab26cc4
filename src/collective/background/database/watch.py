"""The watch: the one thread of a process that looks at its database.

For all sites: it finds those that keep their tasks there, lets others know that this
process is alive, and makes the looks of each site's feeder. Begun when the process
begins to serve; nothing else begins it.
"""

from collections import Counter
from collective.background.database import outbox
from collective.background.database import sent
from collective.background.database.discovery import find_feeders
from collective.background.database.looking import last
from collective.background.database.looking import Looking
from collective.background.database.looking import SchedulerGone
from collective.background.database.looking import usual
from collective.background.database.pacing import LOOK
from collective.background.database.pacing import PACE
from collective.background.database.pacing import Pacing
from collective.background.database.presence import Presence
from collective.background.database.private import own_connection
from collective.background.database.pulse import Pulse
from collective.background.database.rescue import rescue_all
from collective.background.database.sweeping import SWEEP
from collective.background.database.sweeping import sweep
from collective.background.executing.clock import clock_of
from collective.background.executing.executor import process_executor
from collective.background.model.outages import is_outage
from time import monotonic
from transaction.interfaces import TransientError

import logging
import threading


logger = logging.getLogger(__name__)

TROUBLE = 1.0  # seconds until the next look, when the database cannot be reached
LOOKING = "the database cannot be looked at"
DISCOVERY = 60.0  # seconds between two looks for sites
LEAVING = 5.0  # seconds to write down what is left at the end, at the least
SLICE = 0.05  # seconds


class Watch:
    """``executor``: of the process; ``database``: that of Zope."""

    def __init__(self, executor, database):
        self.executor = executor
        self._database = database
        # A signal may come while its own thread has it.
        self.changed = threading.Condition(threading.RLock())
        self._feeders = {}  # by the name of the database and the oid of the scheduler
        self.is_stopping = False
        self._deadline = None  # of the end, once it has come to that
        self._has_left = threading.Event()
        # When sites were looked for, and when somebody has asked for one.
        self._discovered_at = self._sought_at = float("-inf")
        clock = clock_of(database)
        self._pacing = Pacing(database, self.changed, self._is_leaving)
        self._presence = Presence(executor, clock)
        self._pulse = Pulse(DISCOVERY + executor.settings.lease)
        self._looking = Looking(clock)
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
                self._seek()
            return feeder

    def _seek(self):
        """Let sites be looked for anew; return the moment from which on they are."""
        self._sought_at = monotonic()
        self._pacing.wake_up()
        return self._sought_at

    def find_feeder(self, name, oid, patience):
        """Return the Feeder for a scheduler, once sites were looked for; None: none.

        ``name``: of its database; ``oid``: its own; ``patience``: seconds to wait.
        """
        key = name, oid
        with self.changed:
            if key not in self._feeders:
                since = self._seek()
                self.changed.wait_for(
                    lambda: (
                        key in self._feeders
                        or self._discovered_at >= since
                        or self.is_stopping
                    ),
                    patience,
                )
            return self._feeders.get(key)

    def wake_up(self):
        """There may be something new in the database."""
        self._pacing.wake_up()

    def stop(self):
        """Start nothing more; ask those to stop that may run again. See Executor."""
        with self.changed:
            self.is_stopping = True
            self._presence.drain()  # others see to its share from now on
            for feeder in self._feeders.values():
                feeder.stop()
            self._pacing.wake_up()  # others may have a slot for what waits here

    def leave(self, deadline):
        """Wait for what runs; return the titles of what is lost. See Executor."""
        with self.changed:
            deadline.wait_for(self.changed, lambda: not self._is_running())
            self._deadline = deadline.extended(LEAVING)
            self._pacing.wake_up()
        # It may be in the middle of something that takes for ever, without a database.
        while self._deadline.left() and not self._has_left.wait(
            min(SLICE, self._deadline.left())
        ):
            continue
        if not self._has_left.is_set():
            logger.warning(
                "the database could not be told that this process ends; what runs here "
                "is taken over by others after %s s",
                self.executor.settings.lease,
            )
        return self._looking.lost

    def waiting(self):
        """Return how many tasks waited at the last looks, by their queue."""
        waiting = Counter()
        for feeder in self._known():
            waiting.update(feeder.waiting_by_queue)
        return waiting

    def paused(self):
        """Return the names of the queues that were paused in a site then."""
        return {name for feeder in self._known() for name in feeder.paused}

    def is_alive(self):
        """Whether the thread is about to begin, goes on, or has ended in order."""
        return not self._has_left.is_set() or self._is_leaving()

    def trouble(self):
        """Return why nothing can be seen to at the moment, a text, or None."""
        return self._pulse.trouble()

    def _is_running(self):
        return any(feeder.held.running() for feeder in self._feeders.values())

    def _is_leaving(self):
        return self._deadline is not None

    # The thread.

    def _run(self):
        try:
            while not self._is_leaving():
                try:
                    self._look_again_and_again()
                except BaseException as error:  # this thread must not end
                    self._pulse.failed()
                    if not self._is_leaving():
                        self._looking.troubles.tell(LOOKING, error)
                        self._pacing.rest(TROUBLE)
            self._leave()
        except Exception:
            logger.exception("the database could not be told that this process ends")
        finally:
            self._has_left.set()

    def _look_again_and_again(self):
        with own_connection(self._database) as (connection, manager):
            while not self._is_leaving():
                began = monotonic()
                manager.begin()
                if self._has_to_discover(began):
                    self._discover(connection)
                if self._is_needed() and self._presence.is_due():
                    self._show_life(connection, manager)
                seen = self._pacing.last_transaction()
                has_more = self._look_at_all(connection, manager)
                self._looking.troubles.is_over(LOOKING)
                # Or a storage with snapshots keeps all that comes from now on.
                manager.abort()
                # However many there are, looks take no more than half of the time.
                took = monotonic() - began
                self._pacing.rest(max(PACE, min(took, LOOK)))
                if not self._feeders:
                    self._pacing.sleep(DISCOVERY)
                elif not has_more:
                    self._pacing.wait(seen, self._longest(), self._is_busy())

    def _has_to_discover(self, now):
        silence = now - self._discovered_at
        return silence > DISCOVERY or self._sought_at > self._discovered_at

    def _longest(self):
        """Return for how many seconds nothing has to be done by itself."""
        with self.changed:
            look_at = min(feeder.look_at for feeder in self._feeders.values())
        return min(self._presence.pause, max(0.0, look_at - monotonic()))

    def _is_needed(self):
        """Whether others have to know of this process: not if it stands still."""
        with self.changed:
            return any(
                feeder.held or not feeder.is_foreign
                for feeder in self._feeders.values()
            )

    def _is_busy(self):
        with self.changed:
            return any(feeder.held for feeder in self._feeders.values())

    def _discover(self, connection):
        """See which sites keep their tasks in the database."""
        discovered_at = monotonic()
        found = find_feeders(
            connection,
            self.executor,
            self._database,
            self.changed,
            self._pacing.wake_up,
        )
        with self.changed:
            for key in set(self._feeders) - set(found):
                if not self._feeders[key].held:
                    self._drop(key)
            for key, feeder in found.items():
                if key in self._feeders:
                    self._feeders[key].path = feeder.path
                elif not self.is_stopping:
                    self._feeders[key] = feeder
            self._discovered_at = discovered_at
            self.changed.notify_all()

    def _show_life(self, connection, manager):
        """Let others know that this process is alive; see to those that are dead."""
        try:
            dead = self._presence.beat(connection, manager)

            def rescue(look):
                rescue_all(look, dead)
                sent.rescue(look, dead)

            transact = self._looking.transact
            done = [
                self._do(transact, connection, manager, feeder, rescue)
                for feeder in self._known()
                if not feeder.is_foreign
            ]
            # Else they are dead at the next heartbeat as well.
            if dead and all(more is False for more in done):
                self._presence.bury(connection, manager, dead)
        except TransientError as conflict:
            manager.abort()
            if is_outage(conflict):
                raise
            logger.debug("another instance was faster: %s", conflict)

    def _known(self):
        with self.changed:
            return list(self._feeders.values())

    def _look_at_all(self, connection, manager):
        """Make a look for each site; return whether there is more to do at once."""
        has_more = is_in_trouble = False
        feeders = self._known()
        is_blind = bool(feeders)
        for feeder in feeders:
            done = self._do(self._looking.see_to, connection, manager, feeder, usual)
            has_more |= bool(done)
            is_in_trouble |= done is None
            is_blind &= done is None
            if not feeder.is_foreign and monotonic() - feeder.swept_at > SWEEP:
                # Not together: what cannot be forgotten is to hold up nothing else.
                done = self._do(
                    self._looking.transact, connection, manager, feeder, sweep
                )
                has_more |= bool(done)
                if done is None:
                    feeder.swept_at = monotonic()
        if is_in_trouble:
            self._pacing.rest(TROUBLE)
        if is_blind:
            self._pulse.failed()
        else:
            self._pulse.looked()
        return has_more

    def _do(self, look, connection, manager, feeder, work):
        """Return ``look(…)``; False if the site has no such scheduler any more."""
        try:
            return look(connection, manager, feeder, work)
        except SchedulerGone:
            with self.changed:
                self._drop((feeder.home.database_name, feeder.oid))
            return False

    def _drop(self, key):
        """See no more to a site that is gone, or whose tasks are in memory now."""
        feeder = self._feeders.pop(key, None)
        if feeder is not None:
            logger.info("the tasks of %s are gone", feeder.path)
            feeder.stop()

    def _leave(self):
        """Write down what is left, as long as the process waits for that."""
        with own_connection(self._database) as (connection, manager):
            is_left = True
            for feeder in self._known():
                while done := self._do(
                    self._looking.see_to, connection, manager, feeder, last
                ):
                    if not self._deadline.left():
                        break
                    threading.Event().wait(PACE)
                is_left &= done is False and not feeder.held.stuck()
            if is_left:
                self._presence.end(connection, manager)


def begin(event):
    """Called when this process begins to serve."""
    Watch(process_executor(), event.database).start()
