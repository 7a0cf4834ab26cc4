"""Settling: what follows when a task has ended.

The index learns of it, callbacks are scheduled, those that were to start after it do
so, and its group. Everything in the transaction of the caller, who tells of it after
the commit: what is returned, News, is for that.
"""

from collective.background.database.shard import FORGET
from collective.background.database.shard import new_id
from collective.background.database.tasks import StoredTask
from collective.background.model import states
from collective.background.running import outcome
from collective.background.scheduling import rules
from collective.background.telling.events import announce
from collective.background.telling.events import announce_scheduled
from collective.background.telling.events import note_transition
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace

import logging


logger = logging.getLogger(__name__)


@dataclass
class News:
    """What is to be told once a transaction is committed.

    ``reached``: TaskRecords of tasks that have reached their state; ``scheduled``: of
    those that nobody's transaction has scheduled; ``touched``: ids of groups that may
    have ended with this transaction and others at the same time; ``lost``: titles of
    tasks that are lost with this process. ``spent``: persistent objects that may be
    large, and are not looked at any more: they leave the cache of the connection.
    """

    reached: list = field(default_factory=list)
    scheduled: list = field(default_factory=list)
    touched: set = field(default_factory=set)
    lost: list = field(default_factory=list)
    spent: list = field(default_factory=list)

    def __bool__(self):
        return bool(self.reached or self.scheduled)

    def tell(self):
        for obj in self.spent:
            obj._p_deactivate()
        for record in self.scheduled:
            _tell(announce_scheduled, record)
            note_transition(record)
        for record in self.reached:
            _tell(announce, record)


def _tell(tell, record):
    try:
        tell(record)
    except KeyboardInterrupt:
        raise
    except BaseException:  # SystemExit would end the thread that looks
        logger.exception("a subscriber failed for task %s", record.id)


def settle(scheduler, stored, news):
    """A task has ended: do what follows. It must not be in the index at the moment.

    ``stored``: the StoredTask; ``news``: News, to which is added.
    """
    ended = [stored]
    # No recursion: many may wait for each other in a chain.
    for task in ended:
        scheduler.shards.ended(task)
        record = task.record()
        news.reached.append(record)
        news.spent += filter(None, (task.ending,))
        if task.state in task.callback_states:
            calls = task.body.callbacks(task.state)
            call_back(scheduler, task, calls, news, record)
        ended += follow(scheduler, task, task.id)
        if task.group_id is not None:
            settle_member(scheduler, task, news)
        request = scheduler.shards.requested(task.id)
        scheduler.shards.no_longer_requested(task.id)
        if request == FORGET:
            scheduler.forget(task)


def follow(scheduler, before, id):
    """See to the tasks that wait for one that has ended; return those that end.

    ``before``: the StoredTask that they wait for, or None if it is forgotten; ``id``:
    its id.
    """
    ended = []
    for task in scheduler.shards.successors(id):
        scheduler.shards.unlink(id, task)
        if task.state not in states.WAITING:
            continue
        if before is None:
            give_up(scheduler, task, rules.predecessor_unknown(id))
            ended.append(task)
        elif before.state == states.SUCCEEDED:
            task.after = tuple(each for each in task.after if each != id)
            if not task.after:
                scheduler.shards.stand_in_line(task)
        else:
            give_up(scheduler, task, rules.in_vain(before))
            ended.append(task)
    return ended


def give_up(scheduler, task, reason):
    """A task that waits cannot start at all; ``reason``: a TaskCancelled.

    To be settled.
    """
    scheduler.shards.leave(task)
    for id in task.after:
        scheduler.shards.unlink(id, task)
    task.end(outcome.cancelled(reason))


def cancel_waiting(scheduler, task, news):
    """Somebody has cancelled a task that does not run."""
    give_up(scheduler, task, rules.cancelled_while_waiting(task.attempts))
    settle(scheduler, task, news)


def settle_member(scheduler, task, news):
    """A task of a group has ended: see whether the group has."""
    group = scheduler.groups.get(task.group_id)
    if group is None:
        return
    group.left.change(-1)
    news.touched.add(group.id)
    if not group.is_new:
        settle_group(scheduler, group, news)


def settle_groups(scheduler, ids, news):
    """See whether groups have ended, whose last tasks may have done so at once."""
    for id in ids:
        group = scheduler.groups.get(id)
        if group is not None:
            settle_group(scheduler, group, news)


def settle_group(scheduler, group, news):
    """Call who is to be told if all tasks of a group have ended, and nobody was."""
    if group.told or group.left() > 0:
        return
    group.told = True
    member = next(filter(None, map(scheduler.shards.find, group.ids())), None)
    if member is not None:
        whole = scheduler.record(group.id)
        calls = group.callbacks(whole.state)
        call_back(scheduler, member, calls, news, whole)


def call_back(scheduler, stored, calls, news, record):
    """Schedule the callbacks of ``stored``, or of a group to which it belongs.

    ``calls``: Calls; ``record``: of the task or the group, which they are called with.
    """
    news.spent.append(stored.body)
    for call in calls:
        callback = rules.make_callback(
            replace(call, extra=(record,)),
            record.title,
            stored.body.snapshot,
            None,
            stored,
        )
        id, number = new_id(scheduler._p_jar)
        made = StoredTask(callback, id, number, stored.home)
        scheduler._p_jar.add(made)  # it may be reserved before this is committed
        scheduler.shards.add(made)
        news.scheduled.append(made.record())
        news.spent.append(made.body)
