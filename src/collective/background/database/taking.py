"""Taking: what another instance has reserved and sent is run by this one.

::

    message ─► thread: begins ─► work, and that it is done ─► end ─┐
                       ▲                                           │ settled by who has
    look: takes over ──┘  what runs for longer, or ends otherwise  ▼ sent it

So most tasks need nothing of this instance but their thread, which writes what the work
itself does. What its looks take over is this instance's from then on: see
``taking_over``. A message that was lost, comes twice, or is forged, does no harm: what
the database says decides.
"""

from collective.background.database import claims
from collective.background.database.holding import Held
from collective.background.database.instances import is_known_for
from collective.background.database.private import own_connection
from collective.background.database.status import VERSION
from collective.background.database.tasks import StoredTask
from collective.background.database.wholes import is_unwanted
from collective.background.database.working import work_on
from collective.background.exceptions import Superseded
from collective.background.executing.stacks import named_thread
from collective.background.running import outcome
from contextlib import ExitStack
from time import monotonic
from ZODB.POSException import POSKeyError


EARLY = 2.0  # seconds for which a message may be ahead of the database
SOON = 0.02  # seconds until that is looked at again, then


class Taking:
    """What threads of this process run of what was sent. ``feeder``: of the site."""

    def __init__(self, feeder):
        self._feeder = feeder
        self._changed = feeder.changed
        self._marked = 0  # how many wait to run alone

    def run(self, id, oid, fence, patience):
        """Run a task in this thread, if another instance has sent it.

        ``id``, ``oid``: of the task; ``fence``: the number of its reservation;
        ``patience``: how many seconds to wait until it may begin. Returns None once it
        has ended, or why it does not run here, a text.
        """
        feeder, until = self._feeder, monotonic() + patience
        with self._changed:
            # Whether the site is one of this process's is known by then.
            self._changed.wait_for(
                lambda: feeder.has_looked or feeder.is_stopping, patience
            )
        with ExitStack() as stack:
            opened = own_connection(feeder.home)
            connection, manager = stack.enter_context(opened)
            examined = _Examined(feeder, connection, manager, id, oid, fence)
            try:
                held = self._held(examined, until)
            except Superseded as reason:
                return str(reason)
            if held.is_left:
                feeder.wake_now()
                return "those of its kind conflict, so that it stands in their line now"

            def begin():
                with stack.pop_all():
                    return examined.begin(held)

            self._work(held, begin)
        return None

    def _held(self, examined, until):
        """Return the Held, once it may begin. Raises Superseded: it may not."""
        feeder = self._feeder
        while True:
            stored = examined.stored()
            held = Held(
                feeder.claim_of(stored, examined.fence),
                stored.queue,
                stored.locks,
                is_lent=True,
            )
            held.is_left = feeder.contention.is_high(stored.callable) and not (
                stored.conflicts
            )
            with self._changed:
                if held.claim.id in feeder.held:
                    raise Superseded("it comes twice")
                if self._is_its_turn(held.claim.is_marked):
                    held.has_thread = not held.is_left
                    held.came_at = monotonic()
                    feeder.held[held.claim.id] = held
                    return held
                self._wait_for_turn(held.claim.is_marked, until)

    def _is_its_turn(self, is_marked):
        running = self._feeder.held.not_over()
        if is_marked:
            return not running
        # It runs alone: others are not to die with it.
        return not (self._marked or any(held.claim.is_marked for held in running))

    def _wait_for_turn(self, is_marked, until):
        """Wait until another one has ended. Raises Superseded if that takes long."""
        self._marked += is_marked  # nothing new until it can run
        try:
            if not self._changed.wait(until - monotonic()):
                raise Superseded("it cannot begin while others run, or one runs alone")
        finally:
            self._marked -= is_marked

    def _work(self, held, begin):
        try:
            with named_thread(held.queue, held.claim.id):
                work_on(self._feeder, held, begin)
        except BaseException as error:  # of a signal, as that of Celery's soft limit
            with self._changed:
                if not held.is_over:
                    held.has_thread = False
                    # What had begun is not to begin once more.
                    held.is_left = held.task is None
                    held.ended = None if held.is_left else outcome.failed(error)
            self._feeder.wake_now()
            raise


class _Examined:
    """A task that is to be run at a message, in a connection of its own."""

    def __init__(self, feeder, connection, manager, id, oid, fence):
        self._feeder = feeder
        self._connection = connection
        self._manager = manager
        self._id, self._oid = id, oid
        self.fence = fence
        self._came_at = monotonic()

    def stored(self):
        """Return the StoredTask, if it may begin. Raises Superseded: it may not."""
        while True:
            self._manager.begin()
            stored = self._find()
            if not self._may_be_early(stored):
                break
            with self._feeder.changed:
                self._feeder.changed.wait(SOON)
        reason = self._against(stored)
        if reason is not None:
            raise Superseded(reason)
        return stored

    def begin(self, held):
        """Return as ``claims.begin``. Raises as that."""
        feeder = self._feeder
        stored = self._connection.get(self._oid)
        worker = feeder.executor.instance
        return claims.begin(stored, self._manager, held.claim, feeder.database, worker)

    def _find(self):
        """Return what has the oid if it is the task; else None."""
        try:
            stored = self._connection.get(self._oid)
            is_ours = type(stored) is StoredTask and stored.id == self._id
        except POSKeyError:
            return None
        return stored if is_ours and stored.home == self._feeder.oid else None

    def _may_be_early(self, stored):
        """Whether the database as it is seen here may be older than what was sent.

        It learns of others' commits as the broker of messages, and that may be faster.
        Or this process was frozen, and is about to let others know that it lives.
        """
        is_older = stored is None or stored.fence < self.fence or not self._is_known()
        return is_older and monotonic() - self._came_at < EARLY

    def _is_known(self):
        """Whether others know that this process lives: else its tasks are lost."""
        scheduler = self._connection.get(self._feeder.oid)
        return is_known_for(scheduler, self._feeder.executor.instance)

    def _against(self, stored):
        """Return why a StoredTask, or None, is not to be run, a text, or None.

        What is cancelled, or in a queue that is paused, is seen to by who has sent it.
        """
        if self._feeder.is_stopping:
            return "this process is about to end"
        if not self._feeder.has_looked:
            return "the database could not be looked at in time"
        if self._feeder.is_foreign:
            return "its site belongs to another deployment"
        if stored is None:
            return "there is no such task, or not any more"
        if stored.version > VERSION:
            return "it is one of a later version, which this instance does not know"
        if stored.fence != self.fence or not stored.is_reserved:
            return "it has ended, or was given to somebody else since"
        if not stored.is_sent or stored.is_claimed:
            return "nobody has sent it, or another worker has it already"
        if not self._is_known():
            return "others take this process for dead"
        scheduler = self._connection.get(stored.home)
        if scheduler.retired:
            return "its site has no tasks in the database any more"
        if scheduler.shards.requested(stored.id) is not None:
            return "it was cancelled meanwhile"
        if is_unwanted(scheduler, stored):
            return "its group was cancelled meanwhile"
        if stored.queue in scheduler.paused:
            return f"the queue {stored.queue} is paused"
        return None
