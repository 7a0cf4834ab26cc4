"""Reserving: which tasks an instance takes of what waits, and how many.

Within a queue those of higher priority come first, then the older ones; every tenth
is the oldest of all. Of several instances each takes first what is its own, by a hash
of task and instance (rendezvous hashing, Thaler and Ravishankar 1998), so that they
do not all try the same task; who has nothing of its own takes what is left.

Nothing is loaded that is not reserved.
"""

from collective.background.database.shard import microseconds
from collective.background.database.shard import number_of
from collective.background.database.status import VERSION
from collective.background.executing.queues import AGEING
from heapq import merge
from itertools import islice
from itertools import takewhile
from math import inf
from operator import itemgetter
from time import monotonic
from zlib import crc32


MOST = 64  # tasks that are reserved ahead in a queue, if they are short
LONG = 1.0  # seconds; nothing is reserved ahead of tasks that take longer
AHEAD = 0.5  # seconds of work that are reserved ahead, if tasks are short


def choose(look):
    """Yield (queue, StoredTasks) to be reserved by a Look."""
    feeder = look.feeder
    if feeder.is_stopping or not feeder.executes:
        return
    if any(held.claim.is_marked for held in feeder.not_over()):
        return  # it runs alone: others are not to die with it
    found = _found(look)
    for name, tasks in found.items():
        if tasks[0].is_marked:
            # Nothing new in any queue until it can run; else it might wait for ever.
            if feeder.not_over():
                feeder.reserved[name] = AGEING  # it is still its turn the next time
            else:
                yield name, tasks[:1]
            return
    for name, tasks in found.items():
        yield name, list(takewhile(lambda stored: not stored.is_marked, tasks))


def _found(look):
    """Return {queue: StoredTasks} that may be reserved, without empty lists."""
    feeder, scheduler = look.feeder, look.scheduler
    taken = set(_reserved_numbers(scheduler)) | feeder.newer
    due = _due(look, taken)
    found = {}
    for name, queue in feeder.executor.dispatcher.queues.items():
        if name in scheduler.paused:
            continue
        room = _room(feeder, queue)
        if room > 0:
            tasks = _candidates(look, queue, due.get(name, ()), taken, room)
            found[name] = _known(look, tasks)
    return {name: tasks for name, tasks in found.items() if tasks}


def find_surplus(look):
    """Return what is reserved here and had better wait for whoever has a slot.

    A list of Held that have not begun, though all slots are used by tasks that take
    long; that could not be known before.
    """
    feeder = look.feeder
    waiting = [held for held in feeder.not_over() if not held.has_thread]
    surplus = []
    for name, queue in feeder.executor.dispatcher.queues.items():
        mine = [held for held in waiting if held.queue == name]
        if mine and _stands_still(feeder, queue):
            mine.sort(key=lambda held: -held.job.priority)
            # A site that has nothing else here stands in line with the others.
            surplus += mine if _running(feeder, queue) else mine[1:]
    return surplus


def _stands_still(feeder, queue):
    """Whether tasks that take long have all slots."""
    used = _running(feeder, queue) + _used_by_others(feeder, queue)
    return used >= queue.slots and monotonic() - queue.started_at > LONG


def _running(feeder, queue):
    return sum(held.queue == queue.name for held in feeder.running())


def _used_by_others(feeder, queue):
    """Return how many slots have tasks of other sites, and of those in memory."""
    return len(queue.threads) - queue.running(feeder)


def _room(feeder, queue):
    """Return how many more tasks of a queue may be reserved."""
    slots = queue.slots
    is_long = _stands_still(feeder, queue)
    ahead = _ahead(slots, inf if is_long else feeder.durations.get(queue.name))
    mine = sum(1 for held in feeder.not_over() if held.queue == queue.name)
    room = ahead - mine - _used_by_others(feeder, queue)
    # A site that has nothing here stands in line with the others.
    return room if mine else max(room, 1)


def _ahead(slots, seconds):
    """Return how many tasks are reserved, if they take so many seconds."""
    if seconds is None:
        return 2 * slots
    if seconds > LONG:
        return slots
    return max(2 * slots, min(MOST, int(slots * AHEAD / max(seconds, 0.001))))


def _reserved_numbers(scheduler):
    for holding in scheduler.holdings.values():
        if holding is not None:
            yield from map(number_of, holding.tasks)


def _due(look, taken):
    """Return {queue: [(rank, task)]} of delayed tasks whose time has come."""
    found = {}
    now = microseconds(look.now)
    for queue, rank, task in look.scheduler.shards.due(now):
        if rank[1] not in taken:
            found.setdefault(queue, []).append((rank, task))
    return {queue: sorted(tasks, key=itemgetter(0)) for queue, tasks in found.items()}


def _candidates(look, queue, due, taken, room):
    """Return up to ``room`` tasks that may be reserved, in the order of their turn."""
    shards, name = look.scheduler.shards, queue.name
    line = merge(shards.first_in_line(name), due, key=itemgetter(0))
    free = ((rank[1], task) for rank, task in line if rank[1] not in taken)
    others = [
        id
        for id, instance in look.instances.items()
        if name in instance.slots and id != look.feeder.executor.instance
    ]
    feeder = look.feeder
    idle = queue.slots - len(queue.threads) - queue.waiting(feeder)
    chosen = _first(look, free, others, room, idle)
    oldest = _oldest(shards, name, due)
    feeder.reserved[name] = feeder.reserved.get(name, 0) + len(chosen)
    if feeder.reserved[name] >= AGEING and oldest is not None:
        feeder.reserved[name] = 0
        number, task = oldest
        if number not in taken:
            # At the head, also if it is chosen anyway: a marked one starts only there.
            chosen = [task, *(other for other in chosen if other is not task)][:room]
    return chosen


def _first(look, free, others, room, idle):
    if not others:
        return [task for _, task in islice(free, room)]
    window = list(islice(free, room * (len(others) + 1) + MOST))
    me = look.feeder.executor.instance
    mine = [task for number, task in window if _owner(number, [me, *others]) == me]
    if mine:
        return mine[:room]
    # The last ones, since the first ones are about to be taken by their owners.
    return [task for _, task in window[::-1][: max(0, min(room, idle))]]


def _owner(number, instances):
    return max(instances, key=lambda id: crc32(f"{number}{id}".encode()))


def _oldest(shards, name, due):
    first = shards.oldest_in_line(name)
    found = [] if first is None else [first]
    found += due
    if not found:
        return None
    rank, task = min(found, key=lambda head: head[0][1])
    return rank[1], task


def _known(look, tasks):
    """Return those of the tasks that are of no later version than this code."""
    known = []
    for stored in tasks:
        if stored.version > VERSION:
            look.feeder.newer.add(stored.number)  # left to newer instances
            look.has_more = True
        else:
            known.append(stored)
    return known
