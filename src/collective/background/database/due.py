"""Delayed tasks whose time has come are put in line.

By the instance that owns their shard; if it does not, by any other one that executes
or sends something. From the keys of the index: no task is loaded. In the transaction of
a Look.
"""

from collective.background.database.owning import owned
from collective.background.database.shard import END
from collective.background.database.shard import LEAST
from collective.background.database.shard import microseconds
from itertools import islice


AT_ONCE = 256  # tasks that are put in line by one look
GRACE = 2.0  # seconds for which they are left to the owner of their shard


def put_in_line(look, *, everywhere):
    """Put in line what is due, as far as this instance sees to it.

    ``everywhere``: whether the shards of others are looked at as well. Returns the
    moment at which the next one is due in those that were looked at, 2**63 if none is
    (microseconds).
    """
    if not (look.feeder.slots or look.feeder.relayed):
        return END
    left = AT_ONCE
    own = owned(look)
    now = microseconds(look.now)
    next_due = END
    for index, shard in enumerate(look.scheduler.shards):
        if index not in own and not everywhere:
            continue
        until = now - (0 if index in own else int(GRACE * 1_000_000))
        for key in list(islice(shard.delayed.keys(LEAST, (until, END), True), left)):
            look.scheduler.shards.come_into_line(shard, key)
            left -= 1
        next_due = min(next_due, shard.delayed.minKey((until, END))[0] + now - until)
    look.has_more |= not left
    return next_due
