"""Ahead: how many tasks an instance reserves, and what of it is too many.

More than it has slots if they are short, so that it has not to look after each of them;
none that would wait here while another instance has a slot.
"""

from collective.background.database.holding import waiting_for_locks
from collective.background.database.permits import limit_of
from math import inf
from time import monotonic


MOST = 64  # tasks that are reserved ahead in a queue, if they are short
LONG = 1.0  # seconds; nothing is reserved ahead of tasks that take longer
AHEAD = 0.5  # seconds of work that are reserved ahead, if tasks are short


def room_for(feeder, queue):
    """Return how many more tasks of a queue may be reserved."""
    slots = queue.slots
    is_long = _stands_still(feeder, queue)
    ahead = _ahead(slots, inf if is_long else feeder.durations.get(queue.name))
    waiting = waiting_for_locks(feeder.held.for_threads(), queue.name)
    mine = len(feeder.held.for_threads(queue.name)) - waiting
    room = ahead - mine - queue.used_by_others(feeder)
    # A site that has nothing here stands in line with the others.
    return room if mine else max(room, 1)


def ahead_of_a_lock(look, queue):
    """Return how many tasks of a queue may be reserved of which one runs at a time."""
    feeder = look.feeder
    if _stands_still(feeder, queue) and _is_elsewhere(look, queue.name):
        return 0
    if limit_of(look, queue.name) < inf:
        return 1  # what waits would count as one of those that may run
    if waiting_for_locks(feeder.held.for_threads()) >= MOST:
        return 1
    return _ahead(1, feeder.durations.get(queue.name))


def _is_elsewhere(look, queue):
    """Whether another instance has a queue."""
    return any(
        queue in instance.slots
        for id, instance in look.instances.items()
        if id != look.me
    )


def idle_slots(feeder, queue):
    """Return how many slots of a queue have nothing to do."""
    waiting = queue.waiting(feeder)
    waiting -= waiting_for_locks(feeder.held.for_threads(), queue.name)
    return queue.slots - len(queue.threads) - waiting


def find_surplus(look):
    """Return what is reserved here and had better wait for whoever has a slot.

    A list of Held that have not begun, though all slots are used by tasks that take
    long; that could not be known before.
    """
    feeder = look.feeder
    waiting = [held for held in feeder.held.for_threads() if not held.has_thread]
    surplus = []
    for name, queue in feeder.executor.dispatcher.queues.items():
        mine = [held for held in waiting if held.queue == name]
        if mine and _stands_still(feeder, queue):
            mine.sort(key=lambda held: -held.job.priority)
            # A site that has nothing else here stands in line with the others.
            stays = None if _running(feeder, queue) else mine[0]
            if stays is not None and _is_needed_elsewhere(look, stays):
                stays = None
            surplus += [held for held in mine if held is not stays]
    return surplus


def _is_needed_elsewhere(look, held):
    """Whether others cannot start what they might, as long as this one waits here."""
    is_one_of_few = held.locks or limit_of(look, held.queue) < inf
    return is_one_of_few and _is_elsewhere(look, held.queue)


def _stands_still(feeder, queue):
    """Whether tasks that take long have all slots."""
    used = _running(feeder, queue) + queue.used_by_others(feeder)
    return used >= queue.slots and monotonic() - queue.started_at > LONG


def _running(feeder, queue):
    return sum(held.queue == queue.name for held in feeder.held.running())


def _ahead(slots, seconds):
    """Return how many tasks are reserved, if they take so many seconds."""
    if seconds is None:
        return 2 * slots
    if seconds > LONG:
        return slots
    return max(2 * slots, min(MOST, int(slots * AHEAD / max(seconds, 0.001))))
