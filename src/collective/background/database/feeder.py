"""The feeder: feeds the executor of this process with the tasks of one site.

At each look it settles what has ended here, sees what others want of its tasks, and
reserves some of what waits, all in one transaction. What it has reserved it sends to
the dispatcher, whose threads begin it, do its work, and leave the end here.

Comes in: looks of the thread that watches the database (``watch.py``), words of
requests (``outbox.py``), ends of tasks' threads. Goes out: Jobs for the dispatcher,
and News.

What a look has done is true only once it is committed: until then it is kept in a Look,
which is thrown away when the commit fails, and all of it is seen and done again.
"""

from collective.background.capture.call import BATCH
from collective.background.database import claims
from collective.background.database.holding import Held
from collective.background.database.holding import HeldTasks
from collective.background.database.holding import waiting_for_locks
from collective.background.database.listening import Listening
from collective.background.database.pacing import BRIEF
from collective.background.database.pacing import PATIENCE
from collective.background.database.room import Room
from collective.background.database.sent import Busy
from collective.background.database.shard import SHARDS
from collective.background.database.stealing import Stealing
from collective.background.database.taking import Taking
from collective.background.database.taking_over import is_left_to_sender
from collective.background.database.working import work_on
from collective.background.executing.deployment import works_for
from collective.background.executing.queues import Job
from collective.background.model.config import CELERY
from collective.background.scheduling.contention import Contention
from functools import partial
from math import inf
from time import monotonic

import logging


logger = logging.getLogger(__name__)


LEARNING = 0.2  # how much the last duration counts, against those before


class Feeder:
    """- ``executor``: of the process; ``database``: that of Zope
    - ``home``: the database and the oid of the scheduler
    - ``path``: of the site; ``site``: its place, see ``sites.load``
    - ``room``: the waiting Room of the site
    - ``changed``: a Condition, shared by all feeders of the process
    - ``wake(within)``: lets the thread that watches look at the database, see
      ``Pacing``
    """

    def __init__(self, executor, database, home, path, site, changed, wake):
        self.executor = executor
        self.path = path
        self.home, self.oid = home
        self.site = site
        self.database = database
        self.changed = changed
        self._wake = wake
        self.held = HeldTasks(changed)  # what is reserved here
        self.touched = set()  # ids of groups to look at once more
        self.taking = Taking(self)
        self.room = Room(changed)
        self.waiting_by_queue = {}  # what waits for a slot and is not reserved here
        self.paused = frozenset()  # names of queues, at the last look
        self.look_at = inf  # when to look again, if nobody wakes us up (monotonic)
        self.count_at = -inf  # when to count what waits (monotonic)
        self.has_looked = False
        self.changes = [None] * SHARDS  # of ``Shards``, at the last look
        self.durations = {}  # how long tasks take (seconds), by their queue
        self.swept_at = self.reported_at = -inf  # of the monotonic clock
        self.turns = {}  # Turns, by their queue
        self.own = {}  # the numbers of the shards that it owns, by the queue
        self.stealing = Stealing()
        self.elders_at = {}  # when to look for old tasks of others, by the queue
        self.places = {}  # up to where the lines of locks were looked at
        self.sent_at = -inf  # when the last task was given to the relay (monotonic)
        self.busy = Busy()  # workers of Celery
        self.newer = set()  # numbers of tasks of a later version
        self.nobodys = {}  # since when instances are not known that have something
        self.is_stopping = False
        self.is_foreign = False  # the site belongs to another deployment
        self.listening = Listening(executor.settings.silence)
        self.contention = Contention()  # of callables

    @property
    def settings(self):
        return self.executor.settings

    @property
    def executes(self):
        return self.settings.role not in ("web", CELERY)

    @property
    def slots(self):
        """How many slots its tasks have here, by the name of the queue."""
        return self.executor.slots if self.executes else {}

    @property
    def relayed(self):
        """The names of the queues whose tasks go to workers of Celery from here."""
        relay = self.executor.relay
        return frozenset() if relay is None else relay.queues

    def recognize(self, site):
        """See whether this process works for the site, which may have changed."""
        self.is_foreign = not works_for(site, self.path, self.settings.deployment)

    # For requests, in any thread.

    def seen(self, paused, look_at):
        """So it is, as a look has found; see the attributes."""
        with self.changed:
            self.paused, self.look_at = paused, look_at
            if not self.has_looked:
                self.has_looked = True
                self.changed.notify_all()

    def counted(self, by_queue, count_at):
        """The same of what is not looked at each time."""
        with self.changed:
            self.waiting_by_queue, self.count_at = by_queue, count_at

    def count_now(self):
        """Look, and count what waits: it may be less by now."""
        self.count_at = -inf
        self._wake()

    def wake_now(self):
        """Something has happened here that the database is to know of."""
        self._wake()

    def wake_up(self, news):
        """There is something new in the database; ``news``: News of it."""
        self.touch(news.touched)
        self._wake()

    def touch(self, ids):
        """Look at these groups once more."""
        with self.changed:
            self.touched |= ids

    def take_touched(self):
        """Return the groups to look at; who cannot gives them back with ``touch``."""
        with self.changed:
            taken, self.touched = self.touched, set()
            return taken

    # What is reserved here.

    def claim_of(self, stored, fence):
        """Return the Claim of a StoredTask that was just reserved here."""
        return claims.Claim(
            id=stored.id,
            oid=stored._p_oid,
            fence=fence,
            database_name=self.home.database_name,
            is_marked=stored.is_marked,
        )

    def take(self, claim, queue, priority, age, user, locks):
        """A task was reserved: let the dispatcher start it when it is its turn.

        ``claim``: the Claim; the others are those of a Job. The caller wakes the
        dispatcher up.
        """
        held = Held(claim, queue, locks)
        held.job = Job(
            id=claim.id,
            queue=queue,
            priority=priority,
            source=self,
            run=partial(work_on, self, held),
            refused=partial(self._refused, held),
            age=age,
            user=user,
            locks=locks,
        )
        with self.changed:
            self.held[claim.id] = held
        # Not if the process is about to end: a look may have been under way.
        held.is_withdrawn = not self.executor.dispatcher.push(held.job)

    def withdraw(self, held):
        """A task is not to start here; return False if it has started already.

        One that was sent starts elsewhere, after a write that conflicts with ours; one
        that was sent here has a thread from the beginning, or has just ended.
        """
        if held.is_sent:
            return not held.is_claimed
        return held.job is not None and self.executor.dispatcher.discard(held.job)

    def give_back(self, held):
        """What is reserved cannot begin now. In any thread."""
        with self.changed:
            held.is_left = True
        self._wake(within=PATIENCE)

    def _refused(self, held, error):
        """There is no thread for the task now: it is given back."""
        logger.warning("the task %s has to wait: %s", held.claim.id, error)
        self.give_back(held)

    def drop(self, held):
        """What was reserved is settled, or is not ours any more."""
        with self.changed:
            if self.held.get(held.claim.id) is held:
                del self.held[held.claim.id]
        if held.is_sent:
            self.executor.relay.forget(held)
        elif held.job is not None:
            self.withdraw(held)

    def stop_running(self, held, *, superseded=False):
        """Ask a task to stop at its next cancellation point.

        ``superseded``: it is another instance's now.
        """
        with self.changed:
            task = held.task
            if task is None:
                held.is_cancelled |= not superseded
            elif not (task.cancel_requested or task.superseded):
                task.superseded = superseded
                task.cancel_requested = not superseded
                self.changed.notify_all()

    def took_over(self, held):
        """A task that was lent is this instance's now, as others can see."""
        with self.changed:
            held.is_lent = False
            is_known = self.held.get(held.claim.id) is held
        if not is_known:
            self._wake()  # it has ended meanwhile, and nobody is to wait for that

    def stop(self):
        """Start nothing more; ask those to stop that may run again, and batches."""
        with self.changed:
            self.is_stopping = True
            waited = {job.id for job in self.executor.dispatcher.stop(self)}
            for held in self.held.values():
                held.stuck_until = 0.0
                held.is_withdrawn |= held.is_sent or held.claim.id in waited
                if held.is_sent:
                    self.executor.relay.forget(held)  # it need not be sent any more
                self._stop_if_it_may_run_again(held)
            self.changed.notify_all()

    def _stop_if_it_may_run_again(self, held):
        task = held.task
        if task is None or task.cancel_requested:
            return
        if task.options.rerun:
            held.is_stopping = task.cancel_requested = True
        elif task.call.kind == BATCH:
            # Between two transactions: what an item has begun may not be done twice.
            held.is_stopping = task.is_stopping = True

    # For the thread of a task, see ``working``.

    def began(self, held, task):
        """It has begun; ``task``: the Task. It is asked to stop if it was to be."""
        with self.changed:
            held.task = task
            held.began_at = monotonic()
            held.title, held.attempts = task.options.title, task.attempts
            task.cancel_requested = held.is_cancelled
            if self.is_stopping:
                self._stop_if_it_may_run_again(held)
        # Others are to know that it runs, and what it tells.
        self._wake(within=BRIEF if held.is_lent else PATIENCE)

    def ended(self, held, ended, seconds):
        """Its thread has ended, after so many seconds.

        ``ended``: the Outcome; None: it could not begin, and is given back.
        """
        with self.changed:
            held.has_thread = False
            held.ended = ended
            held.is_left = ended is None
            before = self.durations.get(held.queue, seconds)
            self.durations[held.queue] = before + (seconds - before) * LEARNING
            is_done_with = is_left_to_sender(held)
            if is_done_with:
                self.held.pop(held.claim.id, None)
            self.changed.notify_all()
        if not is_done_with:
            # Its end may wait to be written if there is more to start without a look.
            self._wake(within=PATIENCE if self._has_more(held.queue) else 0.0)

    def _has_more(self, queue):
        """Whether the dispatcher has something to start here without a look."""
        waiting = self.executor.dispatcher.waiting(queue, self)
        return waiting > waiting_for_locks(self.held.for_threads(), queue)
