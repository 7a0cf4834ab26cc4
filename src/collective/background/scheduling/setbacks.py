"""Setbacks: runs after which a task is to run again, by what has ended them."""

from collective.background.running import outcome
from collective.background.scheduling import rules


def count_setback(what, ended):
    """A run has come to nothing, and is made again.

    ``what``: a Task, or what is stored of it; ``ended``: the Outcome of the run.
    Outages and conflicts are counted as long as nothing has failed, nor got through.
    """
    if ended.outage:
        what.outages += 1
    elif ended.conflict:
        what.conflicts += 1
    else:
        what.failures += 1
        what.outages = what.conflicts = 0


def without_another_run(ended, attempts):
    """Return the Outcome of a task that was cancelled during the run of ``ended``.

    ``attempts``: how many it has made. What was no failure of its own is none now.
    """
    if ended.outage or ended.conflict:
        return outcome.cancelled(rules.cancelled_while_waiting(attempts))
    return ended
