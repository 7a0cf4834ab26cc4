"""The outbox: how a transaction that schedules something tells the process of it.

Comes in: StoredTasks, which the caller's transaction writes. Goes out: a word to the
feeder of this process, if it has one, once that is committed. Nothing is started here:
in a script, an export or a console, the instances that serve find what is there.
"""

from collective.background.database.ahead import idle_slots
from collective.background.database.counted import count
from collective.background.database.counted import room_of
from collective.background.database.private import privately
from collective.background.database.settling import News
from collective.background.database.settling import settle_groups
from collective.background.database.shard import SHARDS
from collective.background.exceptions import QueueFull
from collective.background.executing.executor import process_executor
from collective.background.scheduling import rules
from collective.background.scheduling.joining import join_as_write
from collective.background.telling.events import note_transition

import os


_watch = None


def _forget_watch():
    """In the child of a fork, its thread is missing."""
    connect(None)


os.register_at_fork(after_in_child=_forget_watch)


def connect(watch):
    """Tell ``watch``, the Watch of this process, of everything; None: nobody."""
    global _watch
    _watch = watch


def current_watch():
    """Return the Watch of this process, or None."""
    return _watch


def feeder_of(scheduler):
    """Return the Feeder of this process for a scheduler, or None.

    So it is in a process that does not serve, and when the site of the scheduler was
    not committed yet.
    """
    return None if _watch is None else _watch.feeder_of(scheduler)


def at_hand(feeder, queue):
    """Return the numbers of the shards for new tasks of a queue.

    Those that the instance owns if it has an idle slot: there it finds them at once.
    ``feeder``: that of the site in this process, or None.
    """
    if feeder is None or queue not in feeder.slots or not feeder.own.get(queue):
        return range(SHARDS)
    is_idle = idle_slots(feeder, feeder.executor.dispatcher.queues[queue]) > 0
    return tuple(feeder.own[queue]) if is_idle else range(SHARDS)


def check_admission():
    """Raise ShuttingDown if the process is about to stop."""
    rules.check_admission(_watch is not None and _watch.is_stopping)


def admit(scheduler, entrant):
    """Let an Entrant into the waiting room of a scheduler.

    Raises ShuttingDown or QueueFull if there can be no more tasks. Returns the Room,
    which is to be told what becomes of the transaction.
    """
    check_admission()
    feeder = feeder_of(scheduler)
    if feeder is None:
        room = room_of(scheduler)
        room.let_in(scheduler, entrant, process_executor().settings)
        return room
    if not feeder.room.is_counted:  # by a look; until then it would be empty to all
        count(feeder.room, scheduler, feeder.settings)
    try:
        feeder.room.admit(entrant, feeder.settings)
    except QueueFull:
        feeder.count_now()  # some may have left meanwhile
        raise
    return feeder.room


def post(scheduler, record, entrant, news):
    """Join the current transaction for a task that it schedules.

    ``record``: the TaskRecord of its scheduling; ``entrant``: the Entrant for it;
    ``news``: what else is to be told, which may become more until the commit.
    """
    rooms = []

    def finish():
        for room in rooms:
            room.committed(entrant)
        _committed(scheduler, record, news)

    def forget():
        for room in rooms:
            room.leave(entrant)

    join_as_write(
        reserve=lambda: rooms.append(admit(scheduler, entrant)),
        finish=finish,
        forget=forget,
        title=record.title,
    )


def tell_when_committed(scheduler, news):
    """Join the current transaction for what is to be told of it; ``news``: as above."""
    join_as_write(
        reserve=lambda: None,
        finish=lambda: (news.tell(), wake_up(scheduler, news)),
        forget=lambda: None,
    )


def _committed(scheduler, record, news):
    note_transition(record)
    news.tell()
    wake_up(scheduler, news)


def wake_up(scheduler, news=None):
    """There is something new in the database. ``news``: News of it, or None."""
    news = News() if news is None else news
    feeder = feeder_of(scheduler)
    if feeder is not None:
        feeder.wake_up(news)
    elif news.touched:  # else the next look does it
        _settle_groups(scheduler, news.touched)


def _settle_groups(scheduler, ids):
    def do(mine):
        news = News()
        settle_groups(mine, ids, news)
        return news

    privately(scheduler._p_jar.db(), scheduler._p_oid, do).tell()


def drain(deadline):
    """End the work of this process for all sites; ``deadline``: a Deadline."""
    if _watch is not None:
        _watch.stop()
        _watch.leave(deadline)
