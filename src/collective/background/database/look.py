"""A look: all that the feeder of a site does in one transaction.

Comes in: what has ended here, and what the database says. Goes out: what is to be done
when that is committed. A Look is made for each attempt; if its commit fails, nothing of
it has happened but that some tasks were withdrawn from the dispatcher, which are given
back the next time.
"""

from collective.background.database import reserving
from collective.background.database.changes import forget
from collective.background.database.instances import Holding
from collective.background.database.reports import has_told
from collective.background.database.reports import Report
from collective.background.database.rescue import let_go
from collective.background.database.rescue import lose
from collective.background.database.rescue import rescue
from collective.background.database.settling import follow
from collective.background.database.settling import give_up
from collective.background.database.settling import News
from collective.background.database.settling import settle
from collective.background.database.settling import settle_group
from collective.background.database.shards import FORGET
from collective.background.model import states
from collective.background.running import outcome
from collective.background.scheduling import rules
from datetime import timedelta
from functools import partial
from itertools import islice
from time import monotonic
from ZODB.POSException import POSKeyError

import logging


logger = logging.getLogger(__name__)

SOON = 0.2  # seconds until a task that has just begun is told of, at the least
REPORT = 1.0  # seconds between two reports of progress, at the least
SWEEP = 5.0  # seconds between two looks for what is too old, if nothing is left
AT_ONCE = 100  # tasks that are forgotten in one transaction
TROUBLE = 5.0  # seconds until a task is begun again that could not be loaded


class Look:
    """- ``feeder``: the Feeder; ``scheduler``: in the connection of the look
    - ``clock``: the Clock of the database
    - ``instances``: {id: Instance} of all that live
    """

    def __init__(self, feeder, scheduler, clock, instances):
        self.feeder = feeder
        self.scheduler = scheduler
        self.now = clock.now()
        self.instances = instances
        self.news = News()
        self.has_more = False  # whether to look again at once
        self._then = []
        self._is_last = False
        self._me = feeder.executor.instance
        self._lease = feeder.settings.lease
        self._holding = scheduler.holdings.get(self._me)
        self._tasks = dict(self._holding.tasks) if self._holding else {}
        self._before = dict(self._tasks)

    # What can be done.

    def settle_ends(self, *only):
        """Write how tasks have ended here. ``only``: Held; none: all of them."""
        for held in only or self.feeder.over():
            stored = self._mine(held)
            if stored is not None:
                self._settle(held, stored)
            self._drop(held)

    def follow_requests(self):
        """See what others want, and whether what tasks wait for has ended."""
        changes = self.scheduler.shards.changes()
        for index, change in enumerate(changes):
            if change != self.feeder.changes[index]:
                for id in self.scheduler.shards.requests_of(index):
                    self._follow_request(id)
                for id in self.scheduler.shards.links_of(index):
                    self._follow_links(id)
        self._then.append(partial(setattr, self.feeder, "changes", changes))

    def check_claims(self):
        """Stop what is not ours any more, and give back what we do not know of."""
        for held in self.feeder.not_over():
            if self._mine(held) is None:
                self._tasks.pop(held.claim.id, None)
                self.feeder.stop_running(held, superseded=True)
                if not held.has_thread and self.feeder.withdraw(held):
                    self._drop(held)
            elif held.is_withdrawn and not held.has_thread:
                self._release(held)
        for id in set(self._tasks) - set(self.feeder.held):
            # A commit went through, though the storage did not say so.
            stored = self.scheduler.shards.find(id)
            if self._has(stored, self._tasks[id][0]):
                let_go(self.scheduler, stored, self.news)
            del self._tasks[id]

    def follow_pauses(self):
        """Give back what has not begun in a queue that is paused."""
        for held in self.feeder.not_over():
            if held.queue in self.scheduler.paused and self._withdraw(held):
                self._release(held)

    def reserve(self):
        """Reserve some of what waits."""
        for queue, chosen in reserving.choose(self):
            for stored in chosen:
                reason = self._hindrance(stored)
                if reason is not None:
                    give_up(self.scheduler, stored, reason)
                    settle(self.scheduler, stored, self.news)
                    continue
                fence = stored.reserve(self._me)
                self._tasks[stored.id] = (fence, None, None)
                claim = self.feeder.claim_of(stored, fence)
                self._then.append(
                    partial(self.feeder.take, claim, queue, stored.priority)
                )

    def rescue(self, dead):
        """See to what instances have that are gone. ``dead``: their ids."""
        since = self.feeder.nobodys
        for id, holding in list(self.scheduler.holdings.items()):
            if holding is None or id == self._me:
                continue
            if id in self.instances:
                since.pop(id, None)
            elif monotonic() - since.setdefault(id, monotonic()) > self._lease:
                dead = dead | {id}
            if id in dead:
                rescue(self.scheduler, holding, self.news)

    def sweep(self):
        """Forget some of the finished tasks that are too old or too many."""
        shards = self.scheduler.shards
        now = int(self.now.timestamp() * 1_000_000)
        gone = list(islice(shards.expired(now), AT_ONCE))
        surplus = shards.count_ended() - len(gone) - self.feeder.settings.keep_count
        for stored in gone:
            forget(self.scheduler, stored)
        if surplus > 0:
            for stored in list(islice(shards.expired(None), min(surplus, AT_ONCE))):
                forget(self.scheduler, stored)
        self.has_more |= len(gone) == AT_ONCE or surplus > AT_ONCE
        swept_at = monotonic()
        self._then.append(partial(setattr, self.feeder, "swept_at", swept_at))

    def check_groups(self):
        """Tell of groups whose last tasks have ended at the same time."""
        touched = set(self.feeder.touched)
        for id in touched:
            group = self.scheduler.groups.get(id)
            if group is not None:
                settle_group(self.scheduler, group, self.news)
        self._then.append(partial(self.feeder.touched.difference_update, touched))

    def count(self):
        """Note how many tasks wait."""
        waiting = self.scheduler.shards.count_waiting()
        self._then.append(partial(self.feeder.counted, waiting))

    def report(self):
        """Write what runs here, and what it has told, if it is time.

        What runs is told at once if something is to be written anyway.
        """
        silence = monotonic() - self.feeder.reported_at
        is_time = silence > REPORT
        if not (is_time or self._tasks != self._before or silence > SOON):
            return
        for held in self.feeder.running():
            task, id = held.task, held.claim.id
            if task is None or id not in self._tasks:
                continue
            fence, _, report = self._tasks[id]
            if is_time and has_told(task):
                report = self._report_of(held, report)
            self._tasks[id] = (fence, task.started, report)
        if is_time:
            reported_at = monotonic()
            self._then.append(partial(setattr, self.feeder, "reported_at", reported_at))

    def leave(self):
        """This process ends: give back what may run again; the rest is lost."""
        for held in self.feeder.not_over():
            stored = self._mine(held)
            if stored is None:
                continue
            if held.task is not None:
                stored.attempts = max(stored.attempts, held.task.attempts)
                self._keep_report(held, stored)
            is_cancelled = self.scheduler.shards.requested(stored.id) is not None
            if held.task is None or stored.is_done or is_cancelled:
                let_go(self.scheduler, stored, self.news)
            elif stored.rerun:
                stored.release()
            else:
                reason = (
                    f"the instance {self._me} was stopped before the task had ended; "
                    "what the task had not committed is undone"
                )
                lose(self.scheduler, stored, reason, self.news)
                self.news.lost.append(stored.title)
        self._tasks.clear()
        self._is_last = True

    def finish(self):
        """Write down what is reserved here, before the commit."""
        if self._tasks == self._before and not (self._is_last and self._holding):
            return
        if self._holding is None:
            self._holding = Holding(self._me)
            self.scheduler.holdings[self._me] = self._holding
        self._holding.tasks = self._tasks
        if self._is_last:
            del self.scheduler.holdings[self._me]

    def committed(self):
        """Do what was to be done once all of it is committed."""
        for function in self._then:
            function()
        self.feeder.touched |= self.news.touched
        self.feeder.executor.dispatcher.wake_up()
        self.news.tell()

    # How it is done.

    def _has(self, stored, fence):
        """Whether a StoredTask (or None) is reserved by this instance like that."""
        return (
            stored is not None
            and stored.is_reserved
            and stored.instance == self._me
            and stored.fence == fence
        )

    def _mine(self, held):
        """Return the StoredTask of a Held, or None if it is not ours any more."""
        try:
            stored = self.scheduler._p_jar.get(held.claim.oid)
            return stored if self._has(stored, held.claim.fence) else None
        except POSKeyError:  # somebody has forgotten it, and packed
            return None

    def _drop(self, held):
        self._tasks.pop(held.claim.id, None)
        self._then.append(partial(self.feeder.drop, held))

    def _withdraw(self, held):
        if not held.has_thread and self.feeder.withdraw(held):
            held.is_withdrawn = True
        return held.is_withdrawn

    def _release(self, held):
        stored = self._mine(held)
        if stored is not None:
            stored.release()
        self._drop(held)

    def _settle(self, held, stored):
        ended, task = held.ended, held.task
        shards = self.scheduler.shards
        is_cancelled = shards.requested(stored.id) is not None
        if stored.is_done:
            # Written by the work itself, whatever has gone wrong after its commit.
            self._end(held, stored, outcome.succeeded(None))
        elif held.is_left and is_cancelled:
            give_up(
                self.scheduler, stored, rules.cancelled_while_waiting(stored.attempts)
            )
            settle(self.scheduler, stored, self.news)
        elif held.is_left:
            if held.has_failed:
                self._put_back(stored, TROUBLE)
            stored.release()
        elif ended.state == states.CANCELLED and held.is_stopping and not is_cancelled:
            # It has stopped only because this process does.
            self._keep_report(held, stored)
            stored.attempts = max(stored.attempts, task.attempts)
            stored.started = stored.started or task.started
            stored.release()
        elif ended.retry_in is not None and not is_cancelled:
            self._put_off(held, stored)
        else:
            self._end(held, stored, ended)

    def _end(self, held, stored, ended):
        self._keep_report(held, stored)
        self.scheduler.shards.leave(stored)
        stored.end(ended, None if held.is_bare else held.task)
        settle(self.scheduler, stored, self.news)

    def _put_off(self, held, stored):
        ended, task = held.ended, held.task
        # Not added to those of the task, or a conflict would count twice.
        task.failures = stored.failures + (not ended.outage)
        task.outages = stored.outages + 1 if ended.outage else 0
        self._keep_report(held, stored)
        self.scheduler.shards.leave(stored)
        stored.put_off(ended, task, self.now + timedelta(seconds=ended.retry_in))
        self.scheduler.shards.wait(stored)
        self.news.reached.append(stored.record())

    def _put_back(self, stored, seconds):
        """Let a task wait for a while, in the state that it has."""
        self.scheduler.shards.leave(stored)
        stored.eta = self.now + timedelta(seconds=seconds)
        self.scheduler.shards.wait(stored)

    def _keep_report(self, held, stored):
        if held.task is None or held.is_bare or not has_told(held.task):
            return
        _, _, report = self._tasks.get(held.claim.id, (None, None, None))
        stored.report = self._report_of(held, report or stored.report)

    def _report_of(self, held, report):
        if report is None:
            report = self._mine(held).report or Report()
        told = report.tell(held.task, held.told)
        self._then.append(partial(setattr, held, "told", told))
        return report

    def _follow_request(self, id):
        shards = self.scheduler.shards
        stored = shards.find(id)
        if stored is None:
            shards.no_longer_requested(id)
        elif stored.state in states.FINISHED:
            if shards.requested(id) == FORGET:
                forget(self.scheduler, stored)
            shards.no_longer_requested(id)
        elif not stored.is_reserved:
            give_up(
                self.scheduler, stored, rules.cancelled_while_waiting(stored.attempts)
            )
            settle(self.scheduler, stored, self.news)
        elif stored.instance == self._me and id in self.feeder.held:
            held = self.feeder.held[id]
            if self._withdraw(held):
                give_up(
                    self.scheduler,
                    stored,
                    rules.cancelled_while_waiting(stored.attempts),
                )
                settle(self.scheduler, stored, self.news)
                self._drop(held)
            else:
                self.feeder.stop_running(held)

    def _follow_links(self, id):
        before = self.scheduler.shards.find(id)
        if before is None or before.state in states.FINISHED:
            for task in follow(self.scheduler, before, id):
                settle(self.scheduler, task, self.news)

    def _hindrance(self, stored):
        """Return why a waiting task cannot start at all, or None."""
        if stored.home != self.scheduler._p_oid:
            return rules.copied()
        return None

    def is_first(self):
        """Whether it is this instance that sweeps: so that only one does."""
        return self._me == min(self.instances, default=self._me)
