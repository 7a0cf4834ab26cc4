"""Claims: that an instance has begun what it has reserved, and that its work is done.

In transactions of the task's thread: its begin, where that is written down, and the
work itself. Both write nothing but the Status of the task, where whoever takes the
reservation away writes, too: so they go through only as long as it is what it was.
"""

from collective.background.capture.call import EXTERNAL
from collective.background.database.external import External
from collective.background.database.handed_over import count_handed_over
from collective.background.database.private import connected
from collective.background.exceptions import NotPortable
from collective.background.exceptions import Retry
from collective.background.exceptions import Superseded
from collective.background.model.external import LIFETIME
from collective.background.model.outages import is_outage
from collective.background.scheduling.execution import Execution
from collective.background.zopecompat import has_messages
from dataclasses import dataclass
from datetime import datetime
from datetime import UTC
from transaction.interfaces import TransientError
from zope.i18n import translate

import logging


logger = logging.getLogger(__name__)

CROWDED = 30.0  # seconds until a task is sent that was one too many


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What a thread has of a StoredTask: its reservation by the number ``fence``.

    ``is_marked``: whether an instance has died that may have begun it.
    """

    id: str
    oid: bytes
    fence: int
    database_name: str
    is_marked: bool = False


def begin(stored, manager, claim, application_database, worker):
    """Return (Task, TaskRecord, error) of what is about to run.

    ``stored``: the StoredTask, in a connection of its own; ``manager``: the
    TransactionManager of that. ``application_database``: that of Zope, which the thread
    is to open; ``worker``: the id of this instance. ``error``: why the task cannot be
    loaded, or None; there is no Task then. There is no TaskRecord of what is only sent
    from here: its worker will begin it. Raises Superseded, and conflicts.
    """
    check(stored, claim)
    is_external = stored.kind == EXTERNAL
    error = task = None
    try:
        task = stored.make_task(application_database)
    except TransientError:
        raise
    except BaseException as reason:  # of the modules of an add-on: anything
        if is_outage(reason):
            raise
        logger.exception("the task %s cannot be loaded", stored.id)
        error = reason
    attempts = stored.attempt
    if stored.begins_with_commit:
        stored.begin(worker)
        manager.get().note(f"Background task begins: {stored.id}")
        manager.commit()
    if task is not None:
        task.attempts = stored.attempts if is_external else attempts
        if not is_external:
            task.began = datetime.now(UTC)
            task.started = task.started or task.began
        if claim.is_marked:
            logger.warning(
                "task %s %r runs alone, as a process may have ended while it ran it: "
                "no other task of its site begins here before it ends",
                *(stored.id, translate(stored.title)),
            )
    record = None if is_external else stored.record(began=task and task.began)
    return task, record, error


def check(stored, claim):
    """Raise Superseded if a task is not to be run by that reservation any more."""
    if stored.fence != claim.fence or not stored.is_reserved:
        raise Superseded(
            f"the task {claim.id} was taken over by another instance, as this one was "
            "silent for too long; or somebody has ended it"
        )


def hold(stored):
    """The current transaction conflicts if somebody changes this object.

    That is a StoredTask, the External of one, or an Instance.
    """
    stored._p_activate()  # or what follows has no effect
    stored._p_jar.readCurrent(stored)


class ClaimedExecution(Execution):
    """A task in the database, as its thread sees it.

    ``feeder``: of the site; ``task``: the Task; ``held``: its Held.
    """

    def __init__(self, feeder, task, held):
        super().__init__(feeder, task)
        self._held, self._claim = held, held.claim
        self._settings = feeder.settings
        self._worker = feeder.executor.instance
        self._saved = None  # the cursor of the last chunk that was about to commit
        self._written = None  # by the current attempt: what may be large

    def begin_attempt(self, env):
        stored = self._stored(env)
        check(stored, self._claim)
        if not stored.is_sent and stored.instance != self._worker:
            raise Superseded(f"another instance has taken over the task {self.id}")
        status = stored.status
        if status.done == self._claim.fence:
            raise Superseded(f"the work of the task {self.id} was committed already")
        is_anothers = stored.has_begun and status.worker != self._worker
        if is_anothers and stored.is_sent:
            # Its message has come twice, and it may begin without a word.
            raise Superseded(f"another worker has begun the task {self.id}")
        saved = status.cursor if is_anothers else self._saved
        if saved not in (None, self.cursor) and status.cursor == saved:
            self.cursor = status.cursor
            self.batch_failures = status.batch_failures()
            raise Retry("a chunk was committed, though the storage did not say so", 0)

    def save_success(self, env, package):
        if package is not None and package.private:
            raise NotPortable(
                f"the result has {package.private[0]} in it, which has no name by "
                "which another process could find it; return what it is made of"
            )
        stored = self._stored(env)
        check(stored, self._claim)
        request = env.request
        tells_more = self._held.tells_more or (request and has_messages(request))
        # Also if it turns out that there is nothing to tell: nobody else does it.
        self._held.settles = bool(tells_more)
        stored.status.succeed(
            *(self._claim.fence, self._task, package, self._worker),
            settles=self._held.settles,
        )
        self._written = stored.status.result

    def save_token(self, env, digest):
        stored = self._stored(env)
        check(stored, self._claim)
        if stored.has_token:
            # Its message has come twice: who has the other one may begin right now.
            hold(stored.external)
        scheduler = stored._p_jar.get(stored.home)
        if count_handed_over(scheduler) >= self._settings.max_waiting:
            raise Retry("as many tasks as may wait are with workers elsewhere", CROWDED)
        lease = self._settings.silence
        in_time = min(LIFETIME, self.time_to_begin())
        external = External(digest, self._claim.fence, LIFETIME, lease, in_time)
        stored.status.send(self._task, external)

    def save_cursor(self, env, end, new_failures):
        stored = self._stored(env)
        check(stored, self._claim)
        fence, worker = self._claim.fence, self._worker
        stored.status.reach(fence, self._task, end, new_failures, worker)
        self._written = stored.status.failures
        self._saved = end

    def committed(self):
        """Nobody looks at the result in this connection, whose cache would keep it."""
        if self._written is not None:
            self._written._p_deactivate()
            self._written = None

    def was_committed(self):
        database = self.database.databases[self._claim.database_name]
        with connected(database, self._claim.oid) as (stored, _):
            status = stored.status
            if self._saved is None:
                return status.done == self._claim.fence
            return (status.begun, status.cursor) == (self._claim.fence, self._saved)

    def _stored(self, env):
        """Return the StoredTask in the connection of the work."""
        connection = env.app._p_jar.get_connection(self._claim.database_name)
        return connection.get(self._claim.oid)
