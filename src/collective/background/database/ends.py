"""The ends of tasks, as a look writes them; and what they tell until then.

Comes in: Held, with what threads have left there. Goes out: StoredTasks that are
settled, put off, or given back. All functions work in the transaction of a Look.
"""

from collective.background.capture.call import EXTERNAL
from collective.background.database.elsewhere import see_to_sent
from collective.background.database.reports import has_told
from collective.background.database.reports import Report
from collective.background.database.rescue import let_go
from collective.background.database.rescue import lose
from collective.background.database.settling import cancel_waiting
from collective.background.database.settling import settle
from collective.background.database.wholes import begin
from collective.background.exceptions import TaskLost
from collective.background.model import states
from collective.background.model.trail import note_intervention
from collective.background.running import outcome
from collective.background.scheduling.actors import shutdown
from collective.background.scheduling.setbacks import without_another_run
from datetime import timedelta
from functools import partial
from time import monotonic
from zope.i18n import translate


SOON = 0.2  # seconds until a task that has just begun is told of, at the least
REPORT = 1.0  # seconds between two reports of progress, at the least
LONGEST = 3.2e9  # seconds, a century; moments have an end
TROUBLE = 5.0  # seconds until a task is begun again that could not be loaded


def settle_ends(look, *only):
    """Write how tasks have ended here. ``only``: Held; none: all of them."""
    for held in filter(look.knows, only or look.feeder.held.over()):
        stored = look.mine(held)
        if stored is not None:
            _settle(look, held, stored)
        look.drop(held)


def report(look):
    """Write what runs here, and what it has told, if it is time.

    What runs is told at once if something is to be written anyway.
    """
    silence = monotonic() - look.feeder.reported_at
    is_time = silence > REPORT
    if not (is_time or look.tasks != look.before or silence > SOON):
        return
    for held in look.feeder.held.running():
        task, id = held.task, held.claim.id
        if task is None or id not in look.tasks:
            continue
        fence, _, report = look.tasks[id]
        if is_time and has_told(task):
            report = _report_of(look, held, report)
        look.tasks[id] = (fence, task.began, report)
    if is_time:
        reported_at = monotonic()
        look.then.append(partial(setattr, look.feeder, "reported_at", reported_at))


def leave(look, not_over):
    """This process ends: give back what may run again; the rest is lost.

    ``not_over``: Held of all that was not over before ends were settled.
    """
    claimed = []
    for held in not_over:
        stored = look.mine(held)
        if stored is None:
            continue
        if held.is_claimed:
            claimed.append(held)
            look.has_more = True  # its worker takes it over, or is done, in a moment
            continue
        if held.task is not None:
            stored.attempts = max(stored.attempts, held.task.attempts)
            _keep_report(look, held, stored)
        is_cancelled = look.scheduler.shards.requested(stored.id) is not None
        is_sent = stored.kind == EXTERNAL  # at the most, and sent again it is harmless
        if held.task is None or stored.is_done or is_cancelled or is_sent:
            let_go(look.scheduler, stored, look.news)
        elif stored.rerun:
            stored.break_off(states.LOST, held.task)
            note_intervention(stored, shutdown())
            stored.release()
        else:
            note_intervention(stored, shutdown())
            error = TaskLost(
                "the process in which it ran was stopped before the task had ended; "
                "what the task had not committed is undone"
            )
            lose(look.scheduler, stored, error, look.news)
            look.news.lost.append(translate(stored.title))
    # What cannot be written stays ours, until others find out that we are gone.
    stays = {held.claim.id for held in (*look.feeder.held.stuck(), *claimed)}
    for id in set(look.tasks) - stays:
        del look.tasks[id]
    look.is_last = not look.tasks


def _settle(look, held, stored):
    ended, task = held.ended, held.task
    shards = look.scheduler.shards
    is_cancelled = shards.requested(stored.id) is not None
    if stored.is_done:
        # Written by the work itself, whatever has gone wrong after its commit.
        _end(look, held, stored, outcome.succeeded(None))
    elif stored.kind == EXTERNAL and see_to_sent(
        look.scheduler, stored, ended, look.news
    ):
        return
    elif held.is_left and is_cancelled:
        cancel_waiting(look.scheduler, stored, look.news)
    elif held.is_left:
        if held.has_failed:
            _put_back(look, stored, TROUBLE)
        stored.release()
    elif ended.state == states.CANCELLED and held.is_stopping and not is_cancelled:
        # It has stopped only because this process does.
        _keep_report(look, held, stored)
        stored.break_off(states.CANCELLED, task)
        note_intervention(stored, shutdown())
        stored.release(task)
    elif ended.retry_in is not None and not is_cancelled:
        _put_off(look, held, stored)
    else:
        attempts = stored.attempts if task is None else task.attempts
        _end(look, held, stored, without_another_run(ended, attempts))


def _end(look, held, stored, ended):
    _keep_report(look, held, stored)
    look.scheduler.shards.leave(stored)
    stored.end(ended, None if held.is_bare else held.task)
    settle(look.scheduler, stored, look.news)


def _put_off(look, held, stored):
    ended, task = held.ended, held.task
    _keep_report(look, held, stored)
    look.scheduler.shards.leave(stored)
    stored.put_off(
        ended, task, look.now + timedelta(seconds=min(ended.retry_in, LONGEST))
    )
    look.scheduler.shards.wait(stored)
    begin(look.scheduler, stored)
    look.news.reached.append(stored.record())


def _put_back(look, stored, seconds):
    """Let a task wait for a while, in the state that it has."""
    look.scheduler.shards.leave(stored)
    stored.eta = look.now + timedelta(seconds=seconds)
    look.scheduler.shards.wait(stored)


def _keep_report(look, held, stored):
    if held.task is None or held.is_bare or not has_told(held.task):
        return
    _, _, report = look.tasks.get(held.claim.id, (None, None, None))
    stored.report = _report_of(look, held, report or stored.report)
    stored.report.forget_stack()


def _report_of(look, held, report):
    if report is None:
        report = look.mine(held).report or Report()
    told = report.tell(held.task, held.told)
    look.then.append(partial(setattr, held, "told", told))
    return report
