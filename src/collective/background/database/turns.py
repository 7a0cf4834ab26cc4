"""Turns: who is next in a queue, as one instance sees it.

Within a priority, turns go round the users who have something in line, one task each;
every tenth task is the oldest of all, so that nobody starves. That one may be in the
share of another instance, all of whose slots may be taken for long.
"""

from collective.background.database.lines import by_age
from collective.background.database.lines import lanes
from collective.background.database.lines import ranks
from collective.background.executing.queues import AGEING
from copy import copy
from heapq import merge
from operator import itemgetter


class Turns:
    """Of a queue. Changed by ``served`` only; a look changes a ``copy``."""

    def __init__(self):
        self._served = 0
        self._last = {}  # whose turn was the last one, by the rank of a priority
        self._next = None  # (rank, user) of the task that was yielded last

    def copy(self):
        made = copy(self)
        made._last = dict(self._last)
        return made

    def order(self, places, queue, taken, elders):
        """Yield StoredTasks in the order of their turn.

        ``places``: see ``lines``; ``taken``: numbers of tasks that are left out, a set,
        to which each task is to be added before the next one is asked for; and
        ``served`` to be called if it was taken. ``elders()``: returns (number, task)
        by age, of what may be the oldest of all elsewhere; called when one is due.
        """
        oldest = None  # not before it is needed
        in_turn = self._in_turn(places, queue, taken)
        while True:
            self._next = None
            if self._served % AGEING == AGEING - 1:
                oldest = oldest or _oldest(places, queue, taken, elders)
                found = _first(oldest, taken)
            else:
                found = next(in_turn, None)
            if found is None:
                return
            yield found

    def served(self):
        """The task that was yielded last was taken."""
        self._served += 1
        if self._next is not None:
            rank, user = self._next
            self._last[rank] = user

    def _in_turn(self, places, queue, taken):
        for rank in ranks(places, queue):
            round = lanes(places, queue, rank, self._last.get(rank, ()))
            while round:
                left = []
                for user, lane in round:
                    task = _first(lane, taken)
                    if task is not None:
                        self._next = rank, user
                        yield task
                        left.append((user, lane))
                round = left


def _first(lane, taken):
    return next((task for number, task in lane if number not in taken), None)


def _oldest(places, queue, taken, elders):
    if _first(by_age(places, queue), taken) is None:
        return iter(())  # who has nothing of its own steals
    return merge(by_age(places, queue), elders(), key=itemgetter(0))
