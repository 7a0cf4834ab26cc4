"""What a look follows: requests, links, pauses, and what became of claims.

All functions work in the transaction of a Look.
"""

from collective.background.database.ahead import find_surplus
from collective.background.database.changes import forget
from collective.background.database.portions import go_on
from collective.background.database.rescue import let_go
from collective.background.database.settling import cancel_waiting
from collective.background.database.settling import follow
from collective.background.database.settling import settle
from collective.background.database.settling import settle_groups
from collective.background.database.shard import FORGET
from collective.background.database.wholes import find_any
from collective.background.database.wholes import is_to_be_retried
from collective.background.model import states
from functools import partial


def follow_requests(look):
    """See what others want, and whether what tasks wait for has ended."""
    changes = look.scheduler.shards.changes()
    for index, change in enumerate(changes):
        if change == look.feeder.changes[index]:
            continue
        requests = look.scheduler.shards.requests_of(index)
        links = look.scheduler.shards.links_of(index)
        is_left = [_follow_request(look, id) for id in requests]
        is_left += [_follow_links(look, id) for id in links]
        if any(is_left):
            changes[index] = None  # to be looked at once more
    look.then.append(partial(setattr, look.feeder, "changes", changes))


def check_claims(look):
    """Stop what is not ours any more, and give back what we do not know of."""
    for held in look.feeder.held.not_over():
        if not look.knows(held):
            continue
        stored = look.mine(held)
        if stored is None:
            look.tasks.pop(held.claim.id, None)
            look.feeder.stop_running(held, superseded=True)
            if held.is_sent or (look.withdraw(held) and not held.has_thread):
                look.drop(held)
        elif held.is_withdrawn and not (held.has_thread or stored.is_claimed):
            look.release(held)
    for id in set(look.tasks) - set(look.feeder.held):
        # A commit went through, though the storage did not say so.
        stored = look.scheduler.shards.find(id)
        if look.has(stored, look.tasks[id][0]):
            let_go(look.scheduler, stored, look.news)
        del look.tasks[id]


def follow_pauses(look):
    """Give back what has not begun in a queue that is paused."""
    for held in look.feeder.held.not_over():
        if held.queue in look.scheduler.paused and look.withdraw(held):
            look.release(held)


def give_back_surplus(look):
    """Give back what others may begin before its turn comes here."""
    for held in find_surplus(look):
        if look.withdraw(held):
            look.release(held)


def give_back_all(look):
    """Give back all that has not begun."""
    for held in look.feeder.held.not_over():
        if look.withdraw(held):
            look.release(held)


def check_groups(look):
    """Tell of groups whose last tasks have ended at the same time."""
    settle_groups(look.scheduler, look.touched, look.news)


def _follow_request(look, id):
    """Return whether something is left to do."""
    if id in look.scheduler.groups:
        return go_on(look, id)
    shards = look.scheduler.shards
    stored = shards.find(id)
    if stored is None:
        shards.no_longer_requested(id)
    elif stored.state in states.FINISHED:
        if shards.requested(id) == FORGET:
            forget(look.scheduler, stored)
        shards.no_longer_requested(id)
    elif not stored.is_reserved:
        cancel_waiting(look.scheduler, stored, look.news)
    elif (held := look.feeder.held.get(id)) and look.mine(held) is not None:
        if look.withdraw(held):
            cancel_waiting(look.scheduler, stored, look.news)
            look.drop(held)
        else:
            look.feeder.stop_running(held)
    return False


def _follow_links(look, id):
    """Return whether something is left to do."""
    before = find_any(look.scheduler, id)
    if before is not None:
        if before.state in states.UNFINISHED:
            return False
        if is_to_be_retried(look.scheduler, before):
            return True
    ending = before and before.standing
    for task in follow(look.scheduler, id, before, ending):
        settle(look.scheduler, task, look.news)
    return False
