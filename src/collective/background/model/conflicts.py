"""Conflicts: how a task goes on whose runs end with one, again and again.

``conflicts``, here and elsewhere: how many of its runs have ended with a conflict, one
after the other. After the first ones it comes back after a while. From ``ALONE`` on it
has to be alone when it runs, and only what it does then counts against it.
"""

ONCE = 1
ALONE = 3


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
