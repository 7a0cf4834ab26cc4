"""Rescue: what becomes of the tasks that an instance had when it died, or stopped.

In the transaction of a look. What it had only reserved is given back. What had begun
is lost, unless it may run again.
"""

from collective.background.database.claims import hold
from collective.background.database.handed_over import hand_over
from collective.background.database.settling import cancel_waiting
from collective.background.database.settling import settle
from collective.background.database.status import VERSION
from collective.background.exceptions import TaskKilled
from collective.background.exceptions import TaskLost
from collective.background.model import states
from collective.background.running import outcome
from time import monotonic
from zope.i18n import translate

import logging


logger = logging.getLogger(__name__)

DEATHS = 3  # instances that a task may take with it


def rescue_all(look, dead):
    """See to what instances have that are gone. ``dead``: their ids."""
    since, lease = look.feeder.nobodys, look.feeder.settings.lease
    for id in set(since).difference(look.scheduler.holdings):
        del since[id]
    for id, holding in list(look.scheduler.holdings.items()):
        if holding is None or id == look.me:
            continue
        if id in look.instances:
            since.pop(id, None)
        elif monotonic() - since.setdefault(id, monotonic()) > lease:
            dead = dead | {id}
        if id in dead:
            alive = set(look.instances) - dead
            lived_until = end_of_life(look, id)
            take_back(look.scheduler, holding, look.news, lived_until, alive)


def end_of_life(look, id):
    """Return when a dead instance has ended, at the latest (aware), or None.

    If it is heard of at this very moment, it is not dead: then the look conflicts.
    """
    instance = look.instances.get(id)
    if instance is None:
        return None
    hold(instance)
    return instance.lived_until()


def take_back(scheduler, holding, news, lived_until=None, alive=frozenset()):
    """See to all tasks in the Holding of an instance that is gone.

    But for those of a later version, which are left to newer instances; and for those
    that it has sent to one which has just begun them, and is about to take them over.
    ``lived_until``: when it has ended, at the latest (aware); None: nobody knows.
    ``alive``: the ids of others that are not gone.
    """
    left = {}
    for id, held in holding.tasks.items():
        fence, started, report = held
        stored = scheduler.shards.find(id)
        if stored is None or stored.fence != fence or not stored.is_reserved:
            continue
        if stored.instance != holding.instance:
            continue  # a worker has taken it over
        runs_there = stored.has_begun and stored.status.worker in alive
        if stored.version > VERSION or (runs_there and not stored.is_done):
            left[id] = held
            continue
        if report is not None:
            stored.report = report
        if started is not None and not stored.begins_with_commit:
            stored.attempts += 1
        let_go(*(scheduler, stored, news, lived_until), is_suspect=True, began=started)
    holding.keep(left, holding.uses, holding.sent)
    if not left:
        del scheduler.holdings[holding.instance]


def let_go(scheduler, stored, news, lived_until=None, *, is_suspect=False, began=None):
    """A reserved task is not its instance's any more; see what it becomes.

    ``lived_until``: as above, of that instance.
    ``is_suspect``: whether it may be what the instance has died of; ``began``: when it
    was begun there, as far as that was told.
    """
    status = stored.status
    stored.attempts = max(stored.attempts, status.attempts)
    if stored.is_done:
        scheduler.shards.leave(stored)
        stored.end(outcome.succeeded(None))
        settle(scheduler, stored, news)
    elif stored.has_begun_elsewhere:
        hand_over(scheduler, stored)
    elif scheduler.shards.requested(stored.id) is not None:
        cancel_waiting(scheduler, stored, news)
    elif stored.has_begun:
        _let_go_begun(scheduler, stored, news, lived_until)
    else:
        # If it begins at this very moment, this transaction conflicts.
        if stored.has_token:
            hold(stored.external)
        stored.is_marked |= is_suspect and stored.rerun
        if began is not None:
            stored.break_off(states.LOST, began=began)
        stored.release()


def _let_go_begun(scheduler, stored, news, lived_until):
    is_complete = stored.size and stored.status.cursor >= stored.size
    stored.deaths += not is_complete
    if is_complete or (stored.rerun and stored.deaths < DEATHS):
        # Of a batch of which all is done, nothing is left to do but to say so.
        stored.is_marked = True
        stored.break_off(states.LOST)
        stored.release()
        title = translate(stored.title)
        logger.info("task %s %r is run again", stored.id, title)
        return
    if stored.rerun:
        error = TaskLost(
            f"{stored.deaths} processes have ended while the task ran there; it is not "
            "run again by itself"
        )
    elif _was_too_long(stored, lived_until):
        error = TaskKilled(
            f"the task ran for longer than its hard_timeout of {stored.hard_timeout:g} "
            "seconds, and its process was ended; what it had not committed is undone"
        )
    else:
        error = TaskLost(
            "the process in which it ran has ended before the task had; what the task "
            "had not committed is undone"
        )
    lose(scheduler, stored, error, news)


def _was_too_long(stored, lived_until):
    if lived_until is None:
        return False
    ran = (lived_until - stored.status.began).total_seconds()
    return ran > stored.hard_timeout


def lose(scheduler, stored, error, news):
    """A task has ended with its instance. ``error``: a TaskLost."""
    scheduler.shards.leave(stored)
    stored.end(outcome.failed(error, state=states.LOST))
    settle(scheduler, stored, news)
