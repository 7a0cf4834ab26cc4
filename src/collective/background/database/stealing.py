"""Stealing: an instance that has nothing to do takes tasks from the shards of others.

The last ones of the highest priority, since the first ones are about to be taken by
their owner; and none that has just come, which he will see in a moment.
"""

from collective.background.database.lines import from_the_end
from collective.background.database.lines import ranks
from collective.background.database.shard import microseconds
from collective.background.database.shard import number_at
from itertools import islice
from time import monotonic

import random


GRACE = 0.2  # seconds for which a task is left to its owner
LONGEST = 5.0  # seconds between two tries, at the most


class Stealing:
    """When a feeder tries it: not again and again, and less often after conflicts."""

    def __init__(self):
        self._pause = GRACE
        self.next_at = 0.0  # of the monotonic clock

    def tries(self):
        self.next_at = monotonic() + self._pause * random.uniform(0.5, 1.0)

    def succeeded(self):
        self._pause = GRACE
        self.next_at = 0.0

    def conflicted(self):
        self._pause = min(2 * self._pause, LONGEST)
        self.tries()


def to_be_stolen(look, places, queue, taken, idle, room):
    """Return StoredTasks of a queue in the lines of others, the last ones of each.

    As many as there are idle slots (``idle``); of many, half of them, but no more than
    ``room``: so a long line is soon shared. ``places``: see ``lines``; ``taken``:
    numbers of tasks that are left out. If some have just come, the Look is made again
    soon.
    """
    found = _waiting_for_long(look, places, queue, taken)
    tasks = list(islice(found, 2 * room))
    return tasks[: max(idle, len(tasks) // 2)]


def _waiting_for_long(look, places, queue, taken):
    now = number_at(microseconds(look.now))
    # What seems to come from later is of a machine whose clock is fast.
    recently = range(now - number_at(int(GRACE * 1_000_000)), now)
    for rank in ranks(places, queue):
        for place in random.sample(places, len(places)):
            for number, task in from_the_end(place, queue, rank):
                if number in taken:
                    continue
                if number in recently:
                    look.again_in(GRACE)
                else:
                    yield task
