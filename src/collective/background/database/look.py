"""A look: all that the feeder of a site does in one transaction.

Comes in: what has ended here, and what the database says. Goes out: what is to be done
when that is committed. A Look is made for each attempt; if its commit fails, nothing of
it has happened but that some tasks were withdrawn from the dispatcher, which are given
back the next time.
"""

from collections import Counter
from collective.background.database import reserving
from collective.background.database.counting import count_in_line
from collective.background.database.counting import wait_counts
from collective.background.database.due import put_in_line
from collective.background.database.instances import Holding
from collective.background.database.pacing import BRISK
from collective.background.database.permits import take_new
from collective.background.database.relaying import parcel_of
from collective.background.database.relaying import send
from collective.background.database.room import COUNTING
from collective.background.database.room import SELDOM
from collective.background.database.settling import give_up
from collective.background.database.settling import News
from collective.background.database.settling import settle
from collective.background.database.shard import END
from collective.background.database.shard import microseconds
from collective.background.database.shard import user_of
from collective.background.scheduling import rules
from functools import partial
from math import inf
from time import monotonic
from ZODB.POSException import POSKeyError


class Look:
    """- ``feeder``: the Feeder; ``scheduler``: in the connection of the look
    - ``clock``: the Clock of the database
    - ``instances``: {id: Instance} of all that live
    - ``number``: what the waiting Room has called it
    - ``touched``: ids of groups to look at once more
    - ``began_at``: when its transaction has begun, at the earliest (monotonic)

    ``tasks`` is what is reserved here now, and ``before`` what was when it began;
    ``uses``: what that uses, or has used, and ``sent``: what of it was sent, see
    ``Holding``.
    """

    def __init__(
        self,
        feeder,
        scheduler,
        clock,
        instances,
        number,
        touched=frozenset(),
        began_at=inf,
    ):
        self.feeder = feeder
        self.scheduler = scheduler
        self.now = clock.now()
        self.instances = instances
        self.touched = touched
        self._began_at = began_at
        self._number = number
        self.news = News()
        self.has_more = False  # whether to look again at once
        self.then = []
        self.is_stealing = False  # whether it takes what others may take, too
        self._next_due = END
        self._again_at = inf
        # Not before the first tasks are reserved: it may have to load the whole index.
        self._is_counting = feeder.has_looked and monotonic() >= feeder.count_at
        self.is_last = False
        self.me = feeder.executor.instance
        self._holding = scheduler.holdings.get(self.me)
        self.tasks = dict(self._holding.tasks) if self._holding else {}
        self.before = dict(self.tasks)
        self.uses = dict(self._holding.uses) if self._holding else {}
        self.sent = set(self._holding.sent) if self._holding else set()

    def reserve(self):
        """Put in line what is due, and reserve some of what waits."""
        if not self._reserves:
            return
        self._next_due = put_in_line(self, everywhere=self._is_counting)
        for queue, chosen in reserving.choose(self):
            for stored in chosen:
                reason = self._hindrance(stored)
                if reason is not None:
                    give_up(self.scheduler, stored, reason)
                    settle(self.scheduler, stored, self.news)
                    continue
                if self.has_to_take_turns(stored):
                    continue
                if stored._p_oid is None:  # a callback that this look has scheduled
                    self.scheduler._p_jar.add(stored)
                is_sent = queue in self.feeder.settings.queues_of_celery
                fence = stored.reserve(self.me, is_sent=is_sent)
                self.tasks[stored.id] = (fence, None, None)
                self.uses[stored.id] = queue, stored.locks
                claim = self.feeder.claim_of(stored, fence)
                if is_sent:
                    self.sent.add(stored.id)
                    parcel = parcel_of(self.feeder, stored, claim)
                    self.then.append(partial(send, parcel))
                    self.again_in(BRISK)
                    continue
                user = user_of(stored.user_path, stored.user_id)
                turn = stored.priority, stored.number, user, stored.locks
                self.then.append(partial(self.feeder.take, claim, queue, *turn))

    @property
    def _reserves(self):
        """Not a worker of Celery, which gets everything from others."""
        return bool(self.feeder.slots or self.feeder.relayed)

    def again_in(self, seconds):
        """Something is to be done then that nobody else tells of."""
        self.again_at(monotonic() + seconds)

    def again_at(self, moment):
        """The same; ``moment``: of the monotonic clock."""
        self._again_at = min(self._again_at, moment)

    def count(self):
        """Note when to look again, and once a second how many tasks wait."""
        if self._is_counting:
            self._count()
        else:
            self.again_at(self.feeder.count_at)
        due_in = (self._next_due - microseconds(self.now)) / 1_000_000
        self.again_in(due_in)
        paused = frozenset(name for name in self.scheduler.paused if name)
        self.then.append(partial(self.feeder.seen, paused, self._again_at))

    def _count(self):
        shards = self.scheduler.shards
        here = Counter(held.queue for held in self.feeder.held.for_threads())
        in_line = count_in_line(shards, self.feeder.settings.queues)
        by_queue = {name: max(0, in_line[name] - here[name]) for name in in_line}
        pause = COUNTING if self._reserves else SELDOM
        self.then.append(partial(self.feeder.counted, by_queue, monotonic() + pause))
        room = self.feeder.room
        users = room.whose(self.feeder.settings)
        counts = wait_counts(shards, microseconds(self.now), users)
        self.then.append(partial(room.counted, counts, self._number, users))

    def finish(self):
        """Write down what is reserved here, before the commit."""
        if self.tasks == self.before and not (self.is_last and self._holding):
            return
        if self._holding is None:
            self._holding = Holding(self.me)
            self.scheduler.holdings[self.me] = self._holding
        take_new(self, self._holding.uses, self.uses_now())
        self._holding.keep(self.tasks, self.uses_now(), self.sent)
        if self.is_last:
            del self.scheduler.holdings[self.me]

    def uses_now(self):
        """Return what the tasks that are reserved here use, see ``Holding``."""
        return {id: uses for id, uses in self.uses.items() if id in self.tasks}

    def committed(self):
        """Do what was to be done once all of it is committed."""
        for function in self.then:
            function()
        self.feeder.touch(self.news.touched)
        self.feeder.executor.dispatcher.wake_up()
        self.news.tell()

    def has(self, stored, fence):
        """Whether a StoredTask (or None) is reserved by this instance like that."""
        return (
            stored is not None
            and stored.is_reserved
            and stored.instance == self.me
            and stored.fence == fence
        )

    def knows(self, held):
        """Whether its transaction can have seen how a task has come here."""
        return held.came_at < self._began_at

    def mine(self, held):
        """Return the StoredTask of a Held, or None if it is not ours any more."""
        fence = held.claim.fence
        try:
            stored = self.scheduler._p_jar.get(held.claim.oid)
            is_mine = self.has(stored, fence) or (
                held.is_lent and self._is_lent(stored, fence)
            )
        except POSKeyError:  # somebody has forgotten it, and packed
            return None
        return stored if is_mine else None

    def _is_lent(self, stored, fence):
        """Whether another instance has sent a StoredTask, and no other worker has it.

        What may run again may begin without a word.
        """
        is_sent = stored.is_sent and stored.is_reserved and stored.fence == fence
        return is_sent and (not stored.has_begun or stored.status.worker == self.me)

    def drop(self, held):
        self.tasks.pop(held.claim.id, None)
        self.then.append(partial(self.feeder.drop, held))

    def withdraw(self, held):
        """Return whether it does not start here any more, or at a worker."""
        if held.is_sent:
            # Only now: if this is not committed, its worker was faster.
            return self.feeder.withdraw(held)
        if not held.has_thread and self.feeder.withdraw(held):
            held.is_withdrawn = True
        return held.is_withdrawn

    def release(self, held):
        stored = self.mine(held)
        if stored is not None:
            stored.release()
        self.drop(held)

    def has_to_take_turns(self, stored):
        """Let a task stand in the line of its kind, if that conflicts too often."""
        contention = self.feeder.contention
        if stored.conflicts or not contention.is_high(stored.callable):
            return False
        self.scheduler.shards.leave(stored)
        stored.take_turns()
        self.scheduler.shards.wait(stored)
        self.has_more = True
        return True

    def _hindrance(self, stored):
        """Return why a waiting task cannot start at all, or None."""
        if stored.home != self.scheduler._p_oid:
            return rules.copied()
        return None
