"""Sweeping: finished tasks that are too old, or too many, are forgotten.

In the transaction of a Look, some at a time.
"""

from collective.background.database.changes import forget
from collective.background.database.counting import count_ended
from collective.background.database.duty import is_on_duty
from collective.background.database.shard import microseconds
from functools import partial
from itertools import islice
from time import monotonic


SWEEP = 5.0  # seconds between two looks for what is too old, if nothing is left
TURN = 60.0  # seconds for which one instance does it: longer than between two sweeps
AT_ONCE = 100  # tasks that are forgotten in one transaction


def sweep(look):
    """Forget some of the finished tasks that are too old or too many.

    If there are more, it is time for the next sweep.
    """
    if is_on_duty(look, TURN):
        _forget_some(look)
    if not look.has_more:
        swept_at = monotonic()
        look.then.append(partial(setattr, look.feeder, "swept_at", swept_at))


def _forget_some(look):
    shards = look.scheduler.shards
    now = microseconds(look.now)
    gone = list(islice(shards.expired(now), AT_ONCE))
    surplus = count_ended(shards) - len(gone) - look.feeder.settings.keep_count
    for stored in gone:
        forget(look.scheduler, stored)
    if surplus > 0:
        for stored in list(islice(shards.expired(None), min(surplus, AT_ONCE))):
            forget(look.scheduler, stored)
    look.has_more = len(gone) == AT_ONCE or surplus > AT_ONCE
