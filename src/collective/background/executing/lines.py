"""A line: in which order the tasks of a site start that wait for a slot of a queue.

Plain data, changed under the dispatcher's lock only. Each step costs the same, however
many jobs and users wait.
"""

from BTrees.OOBTree import OOBTree
from itertools import groupby


class Line:
    """The jobs of a site in a queue that may start, by priority and turns of users.

    ``tickets``: an iterator of growing numbers, shared by the lines of the queue. Of a
    priority, who has the smallest one is next. A user gets a ticket when he comes into
    the line, and another one at each start of his, so that slots go round. If only one
    may run at once, users have no turns: all are as one.

    - ``limit``: how many may run at once; None: there is no limit
    """

    def __init__(self, tickets, limit):
        self.limit = limit
        self._tickets = tickets
        self._lanes = {}  # by their key: priority and user
        self._tickets_of = {}  # the tickets of lanes, by their key
        self._turns = OOBTree()  # keys of lanes by (-priority, ticket)
        self._arrivals = OOBTree()  # keys of lanes by the number of a job
        self._numbers = {}  # of jobs, by their id

    def push(self, number, job):
        """Let a job wait for its turn. ``number``: of its arrival in the queue."""
        key = job.priority, None if self.limit == 1 else (job.user,)
        if key not in self._lanes:
            self._lanes[key] = OOBTree()  # jobs by (age, number)
            self._give_ticket(key)
        self._lanes[key][job.age, number] = job
        self._arrivals[number] = key
        self._numbers[job.id] = number

    def discard(self, job):
        """Take a job out, if it is there; the others keep their turns."""
        number = self._numbers.pop(job.id, None)
        if number is None:
            return
        key = self._arrivals.pop(number)
        lane = self._lanes[key]
        del lane[job.age, number]
        if not lane:
            del self._lanes[key]
            del self._turns[-job.priority, self._tickets_of.pop(key)]

    def take(self, job):
        """Take a job out that starts: it is the turn of other users now."""
        key = self._arrivals[self._numbers[job.id]]
        self.discard(job)
        if key in self._lanes:
            del self._turns[-job.priority, self._tickets_of[key]]
            self._give_ticket(key)

    def first(self):
        """Return (turn, job) of the next one.

        The smaller the turn, the earlier: it is compared with those of other lines.
        """
        turn = self._turns.minKey()
        return turn, self._head(self._turns[turn])

    def upcoming(self):
        """Yield all jobs in the order of their turns, as if none is taken by age."""
        for _, turns in groupby(self._turns.items(), key=lambda item: item[0][0]):
            yield from in_rounds(iter(self._lanes[key].values()) for _, key in turns)

    def oldest(self):
        """Return (number, job) of who has waited longest, whatever his priority.

        The job is the first one of his user with that priority: it may have come into
        the queue later, and be older all the same, as it is tried again.
        """
        number = self._arrivals.minKey()
        return number, self._head(self._arrivals[number])

    def __len__(self):
        return len(self._numbers)

    def _give_ticket(self, key):
        ticket = self._tickets_of[key] = next(self._tickets)
        self._turns[-key[0], ticket] = key

    def _head(self, key):
        lane = self._lanes[key]
        return lane[lane.minKey()]


def in_rounds(lanes):
    """Yield what is in several iterators: one of each, then the next one of each."""
    while lanes:
        left = []
        for lane in lanes:
            for found in lane:
                yield found
                left.append(lane)
                break
        lanes = left
