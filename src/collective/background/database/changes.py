"""What people do to tasks: cancel, try again, dismiss, remove. And forgetting.

In the transaction of the caller, who tells of it after the commit (``news``). ``id``:
of a task, or of a group, each of whose members it is done to then. The caller knows
that there is one."""

from collective.background.database.settling import cancel_waiting
from collective.background.database.settling import give_up
from collective.background.database.settling import settle
from collective.background.database.shard import CANCEL
from collective.background.database.shard import FORGET
from collective.background.model import states
from collective.background.scheduling import rules


FEW = 16  # members of a group, so that who takes some away conflicts


def cancel(scheduler, id, news):
    """Cancel a task that has not begun; ask the instance of any other one to do it."""
    if id in scheduler.groups:
        return _each(scheduler, id, cancel, news)
    stored = scheduler.shards.find(id)
    if stored.state not in states.WAITING or stored.is_done:
        return
    if not stored.is_reserved:
        cancel_waiting(scheduler, stored, news)
    elif scheduler.shards.requested(id) is None:
        scheduler.shards.request(id, CANCEL)


def retry(scheduler, id, news, admit):
    """Queue a task again that has not succeeded.

    ``admit(stored, after)``: raises QueueFull, ShuttingDown; ``after``: ids of those
    that it has to wait for. Raises IllegalTransition.
    """
    if id in scheduler.groups:
        members = map(scheduler.shards.find, scheduler.groups[id].ids())
        ended = [m.id for m in members if m and states.can_be_retried(m.state)]
        rules.check_retries(id, ended)
        for member in ended:
            retry(scheduler, member, news, admit)
        return
    stored = scheduler.shards.find(id)
    states.check_transition(id, stored.state, states.QUEUED)
    shards = scheduler.shards
    if stored.unique is not None:
        rules.check_unique(id, stored.unique, shards.holder(stored.unique))
    # Those before it had succeeded if it was begun, and may be forgotten by now.
    after = () if stored.attempts else stored.after
    admit(stored, after)
    shards.no_longer_requested(id)  # that was meant for the run that has ended
    shards.no_longer_expiring(stored)
    shards.leave(stored)
    stored.requeue()
    if stored.unique is not None:
        shards.hold(stored)
    stored.after = after
    shards.wait(stored)
    group = scheduler.groups.get(stored.group_id or "")
    if group is not None:
        group.left.change(1)
        group.told = False
    news.reached.append(stored.record())
    await_others(scheduler, stored, news)


def await_others(scheduler, stored, news):
    """Let a task wait for those after which it is to start, or end in vain.

    ``stored``: it waits, and is in the index.
    """
    missing = []
    reason = None
    for id in stored.after:
        before = scheduler.shards.find(id)
        if before is not None and before.state == states.SUCCEEDED:
            continue
        missing.append(id)
        if before is None:
            reason = rules.predecessor_unknown(id)
        elif before.state in states.FINISHED:
            reason = rules.in_vain(before)
    stored.after = tuple(missing)  # also for when it is tried again
    if reason is not None:
        give_up(scheduler, stored, reason)
        settle(scheduler, stored, news)
        return
    for id in missing:
        scheduler.shards.link(id, stored)
    if not missing:
        scheduler.shards.stand_in_line(stored)


def dismiss(scheduler, id, news):
    """Raises IllegalTransition for a task that has not ended."""
    if id in scheduler.groups:
        return _each(scheduler, id, dismiss, news)
    stored = scheduler.shards.find(id)
    rules.check_dismissal(stored)
    stored.dismissed = True


def remove(scheduler, id, news):
    """Forget a task, or let it be forgotten as soon as it has ended."""
    if id in scheduler.groups:
        return _each(scheduler, id, remove, news)
    cancel(scheduler, id, news)
    stored = scheduler.shards.find(id)
    if stored is None:
        return  # that was wanted before, and so it was forgotten with its end
    if stored.state in states.FINISHED:
        forget(scheduler, stored)
    else:
        scheduler.shards.request(id, FORGET)


def forget(scheduler, stored):
    """Remove a task that has ended, for good."""
    scheduler.shards.remove(stored)
    group = scheduler.groups.get(stored.group_id or "")
    if group is not None and stored.id in group.members:
        group.members.remove(stored.id)
        # Of those that take the last ones away at the same time, one sees it.
        if len(group.members) <= FEW:
            group._p_changed = True
        if not group.ids():
            del scheduler.groups[group.id]


def _each(scheduler, id, change, news):
    for member in scheduler.groups[id].ids():
        if scheduler.shards.find(member) is not None:
            change(scheduler, member, news)
