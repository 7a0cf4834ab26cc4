"""Lines: in which order the index has what may start.

Comes in: places that have ``line`` and ``turns`` as a Shard has them. Goes out: pairs
(number, task), lazily. No task is loaded, and no more of the index than is looked at.
"""

from BTrees.OOBTree import OOBTree
from collective.background.database.shard import END
from collective.background.database.shard import FIRST
from collective.background.database.shard import LAST
from collective.background.database.shard import range_of
from collective.background.database.standing import stand_of
from heapq import merge
from itertools import chain
from itertools import groupby
from itertools import takewhile
from operator import itemgetter


class Place:
    """Some tasks of several shards, as a Shard has those in line."""

    def __init__(self, tasks):
        self.line = OOBTree({FIRST: None, LAST: None})
        self.turns = OOBTree({FIRST: None, LAST: None})
        for task in tasks:
            stand = stand_of(task)
            self.line[stand.in_line] = self.turns[stand.in_turns] = task


def is_empty(place, queue):
    """Whether nothing of a queue is in line; what is reserved is in line, too."""
    return place.line.minKey((queue,))[:1] != (queue,)


def by_priority(places, queue):
    """Yield those of a queue by priority, then by age."""
    return _merged(range_of(place.line, (queue,)) for place in places)


def by_age(places, queue):
    """Yield those of a queue by age alone."""
    return _merged(
        (
            range_of(place.line, (queue, rank))
            for place in places
            for rank in _ranks_of(place, queue)
        ),
        key=lambda item: item[0][-1],
    )


def _merged(lanes, key=itemgetter(0)):
    return ((found[-1], task) for found, task in merge(*lanes, key=key))


def ranks(places, queue):
    """Yield the negative priorities of those of a queue, the highest priority first."""
    found = merge(*(_ranks_of(place, queue) for place in places))
    return (rank for rank, _ in groupby(found))


def _ranks_of(place, queue):
    after = (queue,)
    while (key := place.line.minKey(after))[:1] == (queue,):
        yield key[1]
        after = (queue, key[1], END)


def lanes(places, queue, rank, last):
    """Yield (user, lane) of each user who has something of a priority in line.

    Beginning after the user ``last``, () at first, and going round. ``lane``: his
    tasks, by age.
    """
    first = (queue, rank)
    later = _users(places, (*first, *last, END) if last else first)
    earlier = takewhile(lambda found: found[0] <= last, _users(places, first))
    for user, theirs in chain(later, earlier if last else ()):
        yield user, _merged(range_of(place.turns, (*first, *user)) for place in theirs)


def _users(places, start):
    """Yield (user, places) in their order; ``places``: those in which he has tasks."""
    found = merge(
        *(_users_of(place, start, index) for index, place in enumerate(places)),
        key=itemgetter(0, 1),
    )
    for user, group in groupby(found, key=itemgetter(0)):
        yield user, [places[index] for _, index in group]


def _users_of(place, start, index):
    first, after = start[:2], start
    while (key := place.turns.minKey(after))[:2] == first:
        yield key[2:4], index
        after = (*key[:4], END)


def from_the_end(place, queue, rank):
    """Yield those of a priority, the newest first."""
    before = (queue, rank, END)
    while (key := place.line.maxKey(before))[:2] == (queue, rank):
        yield key[-1], place.line[key]
        before = (queue, rank, key[-1] - 1)
