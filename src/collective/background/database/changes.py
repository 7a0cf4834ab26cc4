"""What people do to tasks: cancel, try again, dismiss, remove. And forgetting.

In the transaction of the caller, who tells of it after the commit (``news``). ``id``:
of a task, or of a group, each of whose members it is done to then. The caller knows
that there is one. ``by``: the Intervention of who wants it, or None."""

from collective.background.database.claims import hold
from collective.background.database.settling import cancel_waiting
from collective.background.database.settling import give_up
from collective.background.database.settling import settle
from collective.background.database.shard import CANCEL
from collective.background.database.shard import DISMISS
from collective.background.database.shard import FORGET
from collective.background.database.shard import RETRY
from collective.background.database.wholes import find_any
from collective.background.database.wholes import forget_group
from collective.background.database.wholes import is_to_be_retried
from collective.background.database.wholes import is_unwanted
from collective.background.database.wholes import leave
from collective.background.database.wholes import members_of
from collective.background.database.wholes import reopen
from collective.background.database.wholes import wanted_of
from collective.background.model import states
from collective.background.model.trail import note_intervention
from collective.background.scheduling import rules
from collective.background.scheduling.groups import KIND


PORTION = 50  # members of a group to which something is done in one transaction


def cancel(scheduler, id, news, by=None):
    """Cancel a task that has not begun; ask the instance of any other one to do it."""
    group = scheduler.groups.get(id)
    if group is not None:
        if not _mark_if_large(scheduler, group, CANCEL, by):
            _each(scheduler, group, cancel, news, by)
        return
    stored = scheduler.shards.find(id)
    if stored.state not in states.WAITING or stored.is_done:
        return
    if not stored.is_reserved or (stored.is_elsewhere and not stored.has_begun):
        if stored.is_elsewhere:
            hold(stored.external)  # or it might begin at this very moment
        cancel_waiting(scheduler, stored, news, by)
    elif scheduler.shards.requested(id) is None:
        scheduler.shards.request(id, CANCEL, by)


def retry(scheduler, id, news, admit, by=None):
    """Queue a task again that has not succeeded.

    ``admit(stored, after)``: raises QueueFull, ShuttingDown; ``after``: ids of those
    that it has to wait for. Raises IllegalTransition.
    """
    group = scheduler.groups.get(id)
    if group is None:
        tasks = [scheduler.shards.find(id)]
        rules.check_wanted(id, not is_unwanted(scheduler, tasks[0]))
    else:
        found = _to_be_retried(scheduler, group)
        first = next(found, None)
        rules.check_retries(id, first)
        if _mark_if_large(scheduler, group, RETRY, by):
            # The others come in without being asked, as callbacks do.
            admit(first, first.after)
            if group.ending is not None:
                reopen(scheduler, group, group.ending)
                group.go_on()
            return
        tasks = [first, *found]
    # All are queued before one is looked at that is to start after another.
    for stored in tasks:
        _queue_again(scheduler, stored, admit, by)
        news.reached.append(stored.record())
    for stored in tasks:
        if stored.state == states.QUEUED:  # not if it was to start after another one
            await_others(scheduler, stored, news)


def _to_be_retried(scheduler, group):
    """Yield the tasks of a group, and of those in it, that may be queued again."""
    for member in members_of(scheduler, group):
        if member.kind == KIND:
            yield from _to_be_retried(scheduler, member)
        elif states.can_be_retried(member.state):
            yield member


def is_large(group):
    """Whether a group has so many members that looks have to see to them."""
    return not group.is_new and len(group.members) > PORTION


def _mark_if_large(scheduler, group, what, by):
    """Leave the members of a group to looks, if it is large; return whether it is."""
    if not is_large(group):
        return False
    wanted = wanted_of(scheduler, group)
    rules.check_wanted(group.id, wanted != FORGET or what != RETRY)
    if wanted != FORGET:
        scheduler.shards.request(group.id, (what, ""), by)
    return True


def _queue_again(scheduler, stored, admit, by):
    shards = scheduler.shards
    rules.check_retry(stored.id, stored.state, is_spent=False)
    if stored.unique is not None:
        rules.check_unique(stored.id, stored.unique, shards.holder(stored.unique))
    admit(stored, stored.after)
    reopen(scheduler, stored, stored.standing)
    shards.no_longer_requested(stored.id)  # that was meant for the run that has ended
    shards.no_longer_expiring(stored)
    shards.leave(stored)
    stored.requeue()
    note_intervention(stored, by)
    if stored.unique is not None:
        shards.hold(stored)
    shards.wait(stored)


def await_others(scheduler, stored, news):
    """Let a task wait for those after which it is to start, or end in vain.

    ``stored``: it waits, and is in the index.
    """
    missing, hindrances = [], []
    for id in stored.after:
        before = find_any(scheduler, id)
        if before is not None and before.state == states.SUCCEEDED:
            continue
        missing.append(id)
        if before is None:
            hindrances.append(rules.predecessor_unknown(id))
        elif before.state in states.FINISHED and not is_to_be_retried(
            scheduler, before
        ):
            hindrances.append(rules.in_vain(before, before.standing))
    stored.after = tuple(missing)
    for id in missing:
        scheduler.shards.link(id, stored)
    if hindrances:
        give_up(scheduler, stored, rules.worst(hindrances))
        settle(scheduler, stored, news)
    elif not missing:
        scheduler.shards.stand_in_line(stored)


def dismiss(scheduler, id, news, by=None):
    """Raises IllegalTransition for a task or a group that has not ended."""
    what = find_any(scheduler, id)
    rules.check_dismissal(what)
    what.dismissed = True
    if what.kind == KIND and not _mark_if_large(scheduler, what, DISMISS, by):
        _each(scheduler, what, dismiss, news, by)


def remove(scheduler, id, news, by=None):
    """Forget a task, or let it be forgotten as soon as it has ended."""
    group = scheduler.groups.get(id)
    if group is not None:
        return _remove_group(scheduler, group, news, by)
    cancel(scheduler, id, news, by)
    stored = scheduler.shards.find(id)
    if stored is None:
        return  # that was wanted before, and so it was forgotten with its end
    if stored.state in states.FINISHED:
        forget(scheduler, stored)
    else:
        scheduler.shards.request(id, FORGET, by)


def _remove_group(scheduler, group, news, by):
    group.is_silent = True  # who removes it need not hear of its end
    if _mark_if_large(scheduler, group, FORGET, by):
        return
    _each(scheduler, group, remove, news, by)
    if group.id in scheduler.groups and not group.ids():
        forget_group(scheduler, group)


def forget(scheduler, what):
    """Remove what has ended for good: a task, or a group without members."""
    if what.kind == KIND:
        forget_group(scheduler, what)
        return
    for id in what.after:
        scheduler.shards.unlink(id, what)
    scheduler.shards.remove(what)
    leave(scheduler, what, what.standing)


def _each(scheduler, group, change, news, by):
    for member in members_of(scheduler, group):
        if find_any(scheduler, member.id) is not None:  # not if forgotten with another
            change(scheduler, member.id, news, by)
