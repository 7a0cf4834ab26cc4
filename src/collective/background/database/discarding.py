"""Discarding: all tasks of a site that have not ended are cancelled.

For a copy of a database: nothing of what the original had before it is to happen there.
In transactions of its own, some tasks in each.
"""

from collective.background.database import changes
from collective.background.database.handed_over import handed_over
from collective.background.database.private import privately
from collective.background.database.rescue import take_back
from collective.background.database.settling import cancel_waiting
from collective.background.database.settling import News
from collective.background.database.settling import settle_groups
from collective.background.database.shard import CANCEL
from collective.background.database.shard import RETRY
from collective.background.database.wholes import find_any
from collective.background.database.wholes import wanted_of
from collective.background.scheduling.actors import intervention
from functools import partial
from itertools import islice


AT_ONCE = 50  # tasks that are cancelled in one transaction


def cancel_all(scheduler, *, take_from_others):
    """Cancel all tasks of a scheduler that have not ended.

    ``take_from_others``: also those that instances have, whoever they are; else these
    are asked to stop them. Callbacks of what ends meanwhile are cancelled as well, and
    groups tell nobody of their ends.
    """
    home = scheduler._p_jar.db(), scheduler.home()
    asked = set()
    privately(*home, _silence_groups)
    _cancel_until_none_is_left(home, asked)
    if take_from_others:
        privately(*home, _take_back).tell()
        is_left = True
        while is_left:
            news, is_left = privately(*home, _take_from_elsewhere)
            news.tell()
        _cancel_until_none_is_left(home, asked)


def _cancel_until_none_is_left(home, asked):
    """``asked``: ids of what was cancelled before, to which is added."""
    while True:
        news, ids = privately(*home, partial(_cancel_some, asked))
        news.tell()
        if not ids:
            return
        asked.update(ids)


def _cancel_some(asked, scheduler):
    news = News()
    left = (task for task in scheduler.shards.waiting() if task.id not in asked)
    ids = [task.id for task in islice(left, AT_ONCE)]
    for id in ids:
        if find_any(scheduler, id) is not None:  # not if it has ended with another one
            changes.cancel(scheduler, id, news, intervention(CANCEL))
    settle_groups(scheduler, sorted(news.touched), news)
    return news, ids


def _silence_groups(scheduler):
    for group in filter(None, scheduler.groups.values()):
        if group.ending is None:
            group.is_silent = True
        if wanted_of(scheduler, group) == RETRY:
            by = intervention(CANCEL)
            scheduler.shards.request(group.id, (CANCEL, ""), by)


def _take_back(scheduler):
    news = News()
    for holding in list(filter(None, scheduler.holdings.values())):
        take_back(scheduler, holding, news)
    settle_groups(scheduler, sorted(news.touched), news)
    return news


def _take_from_elsewhere(scheduler):
    """Returns (News, whether there may be more)."""
    news = News()
    tasks = list(islice(handed_over(scheduler), AT_ONCE))
    for task in tasks:
        cancel_waiting(scheduler, task, news, intervention(CANCEL))
    settle_groups(scheduler, sorted(news.touched), news)
    return news, bool(tasks)
