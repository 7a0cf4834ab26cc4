"""What is done to large groups: to some of their members at a time.

Who wants it leaves a mark, in a transaction that is short and conflicts with nobody;
from then on, no task is reserved of a group that is to be cancelled. The looks of the
instance that is on duty do the rest: each sees to some of the members, in the order of
their ids.

A mark is (what, id of the last member that was seen to), with who wants it. It is kept
where wishes for reserved tasks are, too.
"""

from collective.background.database import changes
from collective.background.database.duty import is_on_duty
from collective.background.database.duty import left_of
from collective.background.database.shard import CANCEL
from collective.background.database.shard import DISMISS
from collective.background.database.shard import FORGET
from collective.background.database.shard import RETRY
from collective.background.database.wholes import find_any
from collective.background.database.wholes import members_of
from collective.background.exceptions import IllegalTransition
from collective.background.model import states
from collective.background.scheduling.groups import KIND
from itertools import islice

import logging


logger = logging.getLogger(__name__)

TURN = 5.0  # seconds for which an instance sees to them before it is another's turn


def go_on(look, id):
    """See to the next members of a group that has a mark.

    ``id``: of the group. Returns whether that is not all of them.
    """
    if not is_on_duty(look, TURN):
        look.again_in(left_of(look, TURN))
        return True
    scheduler, shards = look.scheduler, look.scheduler.shards
    (what, last), by = shards.requested(id), shards.requested_by(id)
    later = scheduler.groups[id].members.keys(last, excludemin=True)
    ids = list(islice(later, changes.PORTION))
    for member in filter(None, [find_any(scheduler, each) for each in ids]):
        _CHANGES[what](look, member, by)
    if id not in scheduler.groups:  # all of it is forgotten
        return False
    if len(ids) == changes.PORTION:
        shards.request(id, (what, ids[-1]), by)
        look.has_more = True
        return True
    shards.no_longer_requested(id)
    look.news.touched.add(id)  # it could not end meanwhile
    return False


def _cancel(look, member, by):
    changes.cancel(look.scheduler, member.id, look.news, by)


def _remove(look, member, by):
    changes.remove(look.scheduler, member.id, look.news, by)


def _dismiss(look, member, by):
    if member.state in states.FINISHED:  # it may have been tried again
        changes.dismiss(look.scheduler, member.id, look.news)


def _retry(look, member, by):
    scheduler = look.scheduler
    if member.kind == KIND and not changes.is_large(member):
        # One by one: a task that cannot be tried again holds up no other.
        for each in members_of(scheduler, member):
            _retry(look, each, by)
        return
    if member.kind != KIND and not states.can_be_retried(member.state):
        return
    try:
        changes.retry(scheduler, member.id, look.news, lambda *_: None, by)
    except IllegalTransition as reason:  # as for its unique key
        logger.info("%s", reason)


_CHANGES = {CANCEL: _cancel, FORGET: _remove, DISMISS: _dismiss, RETRY: _retry}
