"""The outbox: how a transaction that schedules something tells the process of it.

Comes in: StoredTasks, which the caller's transaction writes. Goes out: a word to the
feeder of this process, if it has one, once that is committed. Nothing is started here:
in a script, an export or a console, the instances that serve find what is there.
"""

from collective.background.database.private import privately
from collective.background.database.settling import News
from collective.background.database.settling import settle_groups
from collective.background.executing.executor import process_executor
from collective.background.scheduling import rules
from collective.background.scheduling.joining import join_transaction
from collective.background.telling.events import note_transition

import os
import transaction


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


def check_admission():
    """Raise ShuttingDown if the process is about to stop."""
    rules.check_admission(_watch is not None and _watch.is_stopping)


def admit(scheduler, title):
    """Raise ShuttingDown or QueueFull if there can be no more tasks.

    ``title``: of the one that is to be admitted.
    """
    check_admission()
    feeder = feeder_of(scheduler)
    if feeder is not None:
        feeder.admit(title)
        return
    counts = _counts(scheduler)
    most = process_executor().settings.max_waiting
    rules.check_room(counts[scheduler._p_oid], most, title)
    counts[scheduler._p_oid] += 1


def _counts(scheduler):
    """Return how many tasks wait and are admitted, by the oids of schedulers.

    As the current transaction has seen it at the first call for this scheduler.
    """
    current = transaction.get()
    try:
        counts = current.data(admit)
    except KeyError:
        counts = {}
        current.set_data(admit, counts)
    if scheduler._p_oid not in counts:
        counts[scheduler._p_oid] = scheduler.shards.count_waiting()
    return counts


def post(scheduler, record, news):
    """Join the current transaction for a task that it schedules.

    ``record``: the TaskRecord of its scheduling; ``news``: what else is to be told,
    which may become more until the commit.
    """
    if feeder_of(scheduler) is None:
        _counts(scheduler)  # in the midst of a commit new objects cannot be loaded
    join_transaction(
        reserve=lambda: admit(scheduler, record.title),
        finish=lambda: _committed(scheduler, record, news),
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
