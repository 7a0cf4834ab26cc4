"""What happens to groups, as their members come, end, are tried again and forgotten.

In the transaction of the caller. ``member``: a StoredTask or a StoredGroup.
"""

from collective.background.database.shard import CANCEL
from collective.background.database.shard import FORGET
from collective.background.database.shard import RETRY
from collective.background.scheduling.endings import state_of
from collective.background.scheduling.groups import KIND


FEW = 16  # members of a group, so that who takes some away conflicts


def group_of(scheduler, member):
    """Return the StoredGroup of which this is a member, or None."""
    return scheduler.groups.get(member.group_id or "")


def find_any(scheduler, id):
    """Return the StoredTask or the StoredGroup with an id, or None."""
    if not isinstance(id, str):
        return None
    return scheduler.groups.get(id) or scheduler.shards.find(id)


def members_of(scheduler, group):
    """Return the StoredTasks and StoredGroups in a group, as they were scheduled."""
    found = filter(None, (find_any(scheduler, id) for id in group.ids()))
    return sorted(found, key=lambda member: member.created)


def wanted_of(scheduler, group):
    """Return what is just being done to the members of a StoredGroup, or None."""
    mark = scheduler.shards.requested(group.id)
    return mark and mark[0]


def is_unwanted(scheduler, member):
    """Whether all of a group above it is just being cancelled, or forgotten."""
    return any(
        wanted_of(scheduler, group) in (CANCEL, FORGET)
        for group in _groups_above(scheduler, member)
    )


def is_to_be_retried(scheduler, what):
    """Whether what has ended is perhaps tried again in a moment, with a whole group."""
    groups = [what] if what.kind == KIND else []
    groups += _groups_above(scheduler, what)
    return any(wanted_of(scheduler, group) == RETRY for group in groups)


def _groups_above(scheduler, member):
    found = []
    group = group_of(scheduler, member)
    while group is not None:
        found.append(group)
        group = group_of(scheduler, group)
    return found


def join(scheduler, member):
    """A member is new: it joins its group, if it has one."""
    group = group_of(scheduler, member)
    if group is None:
        return
    scheduler.shards.no_longer_expiring(group)  # it was empty, and has ended
    group.add(member)
    for each in _groups_above(scheduler, member):
        each.note_user(member)


def begin(scheduler, member):
    """A member has begun, and so have the groups above it."""
    for group in _groups_above(scheduler, member):
        group.begin(member.started)


def reopen(scheduler, member, ending):
    """A member that has ended like that is to be tried again.

    So the groups above it have not ended, either.
    """
    group = group_of(scheduler, member)
    if group is None:
        return
    before = group.ending
    if group.uncount(member, ending):
        _find_another_error(scheduler, group, state_of(ending), member)
    if before is not None:
        reopen(scheduler, group, before)


def leave(scheduler, member, ending):
    """A member that has ended like that is forgotten; its group goes with the last."""
    group = group_of(scheduler, member)
    if group is None or member.id not in group.members:
        return
    group.members.remove(member.id)
    if group.is_new:
        group.withdraw(member, ending)
        return
    # Of those that take the last ones away at the same time, one sees it.
    if len(group.members) <= FEW:
        group._p_changed = True
    if not group.ids() and group.ending is not None:
        forget_group(scheduler, group)


def forget_group(scheduler, group):
    """Remove a group that has ended, and has no members any more, for good."""
    scheduler.shards.no_longer_expiring(group)
    scheduler.shards.no_longer_requested(group.id)
    del scheduler.groups[group.id]
    leave(scheduler, group, group.ending)


def _find_another_error(scheduler, group, state, member):
    """The first one with this state is tried again: perhaps there is another one."""
    for other in members_of(scheduler, group):
        if other is member or other.state != state:
            continue
        if (other.user_id, other.user_path) == (group.user_id, group.user_path):
            group.note_error(other, state, scheduler.record(other.id).error)
            return
