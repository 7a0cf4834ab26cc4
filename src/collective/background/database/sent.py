"""What becomes of tasks that were sent to workers of Celery.

A worker writes that one has begun, or at least that it is done, and this instance sees
to the rest, of many in one transaction. What runs for longer the worker takes over; so
does it with all that ends otherwise. Whoever gives back what nobody has begun writes
where a worker would; so one of the two conflicts.

Comes in: a Look. Goes out: StoredTasks that are settled, or given back.
"""

from collections import Counter
from collective.background.database.instances import BEATS
from collective.background.database.pacing import BRISK
from collective.background.database.relaying import slots_of_workers
from collective.background.database.rescue import end_of_life
from collective.background.database.rescue import let_go
from math import inf
from time import monotonic


REPLACING = 120.0  # seconds in which Celery replaces a process of a worker
WHILE = 1.0  # seconds after the last message for which they may want more


def follow_sent(look):
    """See what workers have begun, or done, and what they seem not to know of."""
    feeder = look.feeder
    relay = feeder.executor.relay
    if relay is None:
        return
    relay.note_taken(feeder, _taken(look))
    sent = [(held, look.mine(held)) for held in feeder.held.for_workers()]
    sent = [(held, stored) for held, stored in sent if stored is not None]
    _load_together(look, [stored.status for _, stored in sent])
    for held, stored in sent:
        if not stored.is_claimed:
            continue
        worker = look.instances.get(stored.status.worker)
        has_told_all = stored.is_done and not stored.status.settles
        if has_told_all or worker is None or _has_not(worker, held):
            _let_go(look, held, stored)
        else:
            held.is_claimed = True
    for held in _unclaimed(look):
        stored = look.mine(held)
        if stored is not None:
            _let_go(look, held, stored)  # its message may be lost
    silence = monotonic() - feeder.sent_at
    if silence < WHILE:
        # They write what they do, but not every storage tells of it.
        look.again_in(max(BRISK, silence))


def _has_not(worker, held):
    """Whether an Instance that has begun a task does not know of it any more.

    As if somebody has undone the work before its end was settled. It looks after each
    of its beats, and would have taken the task over.
    """
    if held.claimed_beat is None:
        held.claimed_beat = worker.beat
    return worker.beat - held.claimed_beat > BEATS


def _load_together(look, objects):
    """Ask the storage for what has changed of these, instead of one after the other."""
    unknown = [obj for obj in objects if obj._p_changed is None]
    if len(unknown) > 1:
        look.scheduler._p_jar.prefetch(unknown)


def rescue(look, dead):
    """See to what has begun in workers that are gone. ``dead``: their ids."""
    for held in look.feeder.held.for_workers():
        stored = look.mine(held)
        if stored is None or not stored.is_claimed:
            continue
        if stored.status.worker not in dead:
            continue
        lived_until = end_of_life(look, stored.status.worker)
        _let_go(look, held, stored, lived_until)


def _let_go(look, held, stored, lived_until=None):
    # What begins without a word may be what a worker has died of.
    let_go(look.scheduler, stored, look.news, lived_until, is_suspect=True)
    look.drop(held)


def _taken(look):
    """Return how many tasks of the site workers have taken over, by the queue."""
    holdings = look.scheduler.holdings
    workers = [id for id, each in look.instances.items() if each.is_celery_worker]
    uses = [holdings[id].uses.values() for id in workers if id in holdings]
    return Counter(queue for each in uses for queue, _ in each)


class Busy:
    """Until when all workers of a queue had something to do, as a feeder has seen it.

    Moments are of the monotonic clock.
    """

    def __init__(self):
        self._busy = set()  # the names of queues of which that was so at the last look
        self._until = {}  # when it was so, by the queue
        self._served_at = {}  # when there was any worker of it

    def look(self, look, queues):
        """See which of these queues are busy now, in a Look."""
        busy = {queue for queue in queues if self._is_busy(look, queue)}
        # What was busy at the last look may have been so until now.
        self._until.update(dict.fromkeys(busy | self._busy, monotonic()))
        self._busy = busy

    def until(self, queue):
        """Return that moment; 0.0: it never was so."""
        return self._until.get(queue, 0.0)

    def _is_busy(self, look, queue):
        """Whether all slots of a queue have a task, of any site that is seen to here.

        Or the last one has gone a moment ago: it may be replaced, and the worker that
        does that may have messages.
        """
        sent = look.feeder.held.for_workers(queue)
        claimed = sum(held.is_claimed for held in sent)
        running = look.feeder.executor.relay.taken(queue) + claimed
        slots = slots_of_workers(look.instances, queue)
        if slots:
            self._served_at[queue] = monotonic()
        is_served = monotonic() - self._served_at.get(queue, -inf) < REPLACING
        return running >= slots and is_served


def _unclaimed(look):
    """Return what no worker has begun for the time of a lease, a list of Held.

    Though one could have: while all are busy, nothing seems to be lost.
    """
    feeder, lease = look.feeder, look.feeder.settings.lease
    waiting = [
        held
        for held in feeder.held.for_workers()
        if not held.is_claimed and held.claim.id in look.tasks
    ]
    feeder.busy.look(look, {held.queue for held in waiting})
    since = {held: max(held.sent_at, feeder.busy.until(held.queue)) for held in waiting}
    look.again_at(min(since.values(), default=inf) + lease)
    return [held for held in waiting if monotonic() - since[held] > lease]
