"""Settling: what follows when a task has ended.

The index learns of it, callbacks are scheduled, those that were to start after it do
so, and its group. Everything in the transaction of the caller, who tells of it after
the commit: what is returned, News, is for that.
"""

from collective.background.database.shard import FORGET
from collective.background.database.shard import new_id
from collective.background.database.shard import RETRY
from collective.background.database.tasks import StoredTask
from collective.background.database.wholes import forget_group
from collective.background.database.wholes import group_of
from collective.background.database.wholes import wanted_of
from collective.background.model import states
from collective.background.model.trail import note_intervention
from collective.background.running import outcome
from collective.background.scheduling import rules
from collective.background.scheduling.endings import standing_of
from collective.background.scheduling.endings import told_as
from collective.background.telling.events import announce
from collective.background.telling.events import announce_scheduled
from collective.background.telling.events import note_transition
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from threading import current_thread
from threading import main_thread
from zope.i18n import translate

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
    except Exception:
        logger.exception("a subscriber failed for task %s", record.id)
    except BaseException:
        if current_thread() is main_thread():
            raise  # a signal: the process is to end
        # SystemExit would end the thread that looks.
        logger.exception("a subscriber failed for task %s", record.id)


def settle(scheduler, stored, news):
    """A task has ended: do what follows. It must not be in the index at the moment.

    ``stored``: the StoredTask; ``news``: News, to which is added.
    """
    _settle_all(scheduler, [stored], news)


def _settle_all(scheduler, ended, news):
    # No recursion: many may wait for each other in a chain.
    for task in ended:
        note_intervention(task, scheduler.shards.requested_by(task.id))
        scheduler.shards.ended(task)
        record = task.record()
        news.reached.append(record)
        news.spent += filter(None, (task.ending,))
        ending = standing_of(record)
        if told_as(ending) in task.callback_states:
            news.spent.append(task.body)
            calls = task.body.callbacks(told_as(ending))
            call_back(scheduler, task, task.body.snapshot, calls, news, record)
        ended += follow(scheduler, task.id, record, ending)
        ended += _settle_member(scheduler, task, ending, record.error, news)
        if task.state == states.SUCCEEDED:
            task.drop_body()
        request = scheduler.shards.requested(task.id)
        scheduler.shards.no_longer_requested(task.id)
        if request == FORGET:
            scheduler.forget(task)


def follow(scheduler, id, before, ending):
    """See to the tasks that wait for what has ended; return those that end.

    ``before``: the TaskRecord of what they wait for, a task or a group; None if it is
    forgotten. ``id``: its id; ``ending``: what it has come to, see ``endings``.

    Those that have ended, but could be tried again, are told of a success, too: it may
    be forgotten by then.
    """
    ended = []
    for task in scheduler.shards.successors(id):
        if ending == states.SUCCEEDED:
            scheduler.shards.unlink(id, task)
            task.after = tuple(each for each in task.after if each != id)
            scheduler.shards.stand_in_line(task)
        elif task.state in states.WAITING:
            is_gone = before is None
            reason = (
                rules.predecessor_unknown(id)
                if is_gone
                else rules.in_vain(before, ending)
            )
            give_up(scheduler, task, reason)
            ended.append(task)
    return ended


def give_up(scheduler, task, reason):
    """A task that waits cannot start at all; ``reason``: a TaskCancelled.

    To be settled.
    """
    scheduler.shards.leave(task)
    task.end(outcome.cancelled(reason))


def cancel_waiting(scheduler, task, news, by=None):
    """Somebody has cancelled a task that does not run.

    ``by``: his Intervention; None: that of who has left a wish, if anybody.
    """
    note_intervention(task, by)
    give_up(scheduler, task, rules.cancelled_while_waiting(task.attempts))
    settle(scheduler, task, news)


def _settle_member(scheduler, member, ending, error, news, is_closing=False):
    """A member has ended: see whether its group has. Returns as ``_settle_group``."""
    group = group_of(scheduler, member)
    if group is None:
        return []
    group.count(member, ending, error)
    news.touched.add(group.id)
    if group.is_new and not is_closing:
        return []
    return _settle_group(scheduler, group, news, is_closing)


def settle_groups(scheduler, ids, news):
    """See whether groups have ended, whose last members may have done so at once."""
    for id in ids:
        group = scheduler.groups.get(id)
        if group is not None:
            _settle_all(scheduler, _settle_group(scheduler, group, news), news)


def close_group(scheduler, group, news):
    """The transaction that has opened a group is about to commit.

    Its members may have ended already.
    """
    _settle_all(scheduler, _settle_group(scheduler, group, news, True), news)


def _settle_group(scheduler, group, news, is_closing=False):
    """Call who is to be told if all members of a group have ended, and nobody was.

    ``is_closing``: whether more may not join it, though it is new. Returns tasks that
    end with it, as they were to start after it.
    """
    if group.ending is not None or not group.is_over:
        return []
    if wanted_of(scheduler, group) == RETRY:
        return []  # the next members are queued in a moment
    scheduler.shards.protect(group.id)
    ending = group.end()
    record = scheduler.record(group.id)
    calls = () if group.is_silent else group.callbacks(told_as(ending))
    if calls:
        call_back(scheduler, group, group.snapshot, calls, news, record)
    ended = follow(scheduler, group.id, record, ending)
    ended += _settle_member(scheduler, group, ending, record.error, news, is_closing)
    if group.total == 0:
        scheduler.shards.expire(group)  # the others go with their last member
    elif not group.ids():
        forget_group(scheduler, group)
    return ended


def call_back(scheduler, origin, snapshot, calls, news, record):
    """Schedule the callbacks of what has ended, a StoredTask or a StoredGroup.

    ``snapshot``: the environment; ``calls``: Calls; ``record``: the TaskRecord which
    they are called with.
    """
    for call in calls:
        callback = rules.make_callback(
            replace(call, extra=(record,)),
            translate(record.title),
            snapshot,
            None,
            origin,
        )
        id, number = new_id(scheduler._p_jar)
        made = StoredTask(callback, id, number, origin.home)
        scheduler._p_jar.add(made)  # it may be reserved before this is committed
        scheduler.shards.add(made)
        news.scheduled.append(made.record())
        news.spent.append(made.body)
