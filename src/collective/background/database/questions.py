"""Questions: what a task does at this moment, asked of the instance in which it runs.

Comes in: somebody who asks, in a transaction of his own. Goes out: the stack of the
task's thread, in its Report, with the moment. That is answered once, at the next look
of the instance; who wants to know more asks again.
"""

from BTrees.OOBTree import OOTreeSet
from collective.background.database.reports import Report
from collective.background.executing.stacks import stack_now
from collective.background.model import states


def ask(scheduler, id):
    """Somebody wants to know what a task does."""
    if scheduler.questions is None:  # it is of a version that had none
        scheduler.questions = OOTreeSet([""])
    scheduler.questions.add(id)


def answer(look):
    """Answer what is asked of tasks that run here.

    And leave aside what is asked of those that nobody has any more.
    """
    for id in list(look.scheduler.questions or ()):
        stored = look.scheduler.shards.find(id) if id else None
        held = look.feeder.held.get(id)
        if id and (stored is None or not stored.is_reserved):
            look.scheduler.questions.remove(id)
        elif held is not None and held.task is not None and id in look.tasks:
            _answer(look, held, stored)
            look.scheduler.questions.remove(id)


def stack_of_stored(record, report):
    """Return the Stack of a task, or None: not known.

    ``record``: its TaskRecord; ``report``: what its instance tells of it, or None.
    """
    if record.state != states.RUNNING:
        return None
    now = stack_now(record.queue, record.id)
    return now if now or report is None else report.stack


def _answer(look, held, stored):
    stack = stack_now(stored.queue, stored.id)
    if stack is None:
        return  # it has just ended
    fence, _, report = look.tasks[stored.id]
    report = report or stored.report or Report()
    report.show(stack)
    look.tasks[stored.id] = (fence, held.task.began, report)
