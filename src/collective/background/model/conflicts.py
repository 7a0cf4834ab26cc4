"""Conflicts: how a task goes on whose runs end with one, again and again.

``conflicts``, here and elsewhere: how many of its runs have ended with a conflict, one
after the other. From ``ONCE`` on it has a lock in common with those of its kind, from
``ALONE`` on one in common with all that conflict; and only what it does then counts
against it.
"""

ONCE = 1
ALONE = 3

OF_ALL = "conflict"


def locks_of(callable, conflicts):
    """Return the texts of the locks that a task needs at its next run, a tuple.

    ``callable``: the name of what it calls; so its kind is told from others.
    """
    locks = ()
    if conflicts >= ONCE:
        locks += (f"{OF_ALL}: {callable}",)
    if is_alone(conflicts):
        locks += (OF_ALL,)
    return locks


def is_alone(conflicts):
    """Whether a task is to be alone at its next run."""
    return conflicts >= ALONE


def is_hopeless(conflicts, attempts):
    """Whether a run that has conflicted, too, was the last one.

    ``conflicts``: before it; ``attempts``: how often a task is tried alone.
    """
    return conflicts >= ALONE + attempts - 1


def after_success(conflicts):
    """Return the number for the next transaction of a batch.

    What it has met once, it may meet again.
    """
    return min(conflicts, ONCE)
