"""Timers: what is to be done at a moment.

Plain data, changed under the dispatcher's lock only. Nothing stays of what is taken out
before its moment.
"""

from BTrees.OOBTree import OOBTree
from itertools import count
from math import inf


class Timers:
    """Things by the moment at which they are due; of one moment, in their order.

    ``key``: what tells a thing from the others, hashable; ``moment``: of the monotonic
    clock, which nobody sets back.
    """

    def __init__(self):
        self._things = OOBTree()  # by (moment, number)
        self._places = {}  # (moment, number) by the key
        self._numbers = count()

    def set(self, key, moment, thing):
        """Let a thing be due at a moment, instead of the one that has this key."""
        self.discard(key)
        place = self._places[key] = (moment, next(self._numbers))
        self._things[place] = (key, thing)

    def discard(self, key):
        """Take a thing out; return whether it was in."""
        place = self._places.pop(key, None)
        if place is None:
            return False
        del self._things[place]
        return True

    def moment(self, key):
        """Return when the thing with this key is due; infinity if there is none."""
        return self._places.get(key, (inf,))[0]

    def next(self):
        """Return when the next thing is due; infinity if there is none."""
        return self._things.minKey()[0] if self._things else inf

    def take(self, now):
        """Take out what is due; return it as a list."""
        due = []
        while self._things and self.next() <= now:
            key, thing = self._things[self._things.minKey()]
            self.discard(key)
            due.append(thing)
        return due

    def take_all(self):
        """Take everything out; return it as a list."""
        return self.take(inf)

    def __iter__(self):
        """Iterate over all things, which must not change meanwhile."""
        return (thing for _, thing in self._things.values())

    def __len__(self):
        return len(self._places)
