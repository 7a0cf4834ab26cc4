"""Whether a task that has failed is tried again, and when."""

from collective.background.exceptions import Retry
from collective.background.exceptions import TaskFailed
from collective.background.model.conflicts import is_hopeless
from collective.background.model.options import MAX_BACKOFF
from random import uniform


MAX_OUTAGES = 20  # in a row; about a quarter of an hour
LONGEST_OUTAGE_DELAY = 60.0  # seconds
FIRST_CONFLICT_DELAY = 0.1
LONGEST_CONFLICT_DELAY = 10.0


def retry_delay(options, failures, error):
    """Return seconds until the next attempt, or None to give up.

    ``options``: of the task; ``failures``: how many attempts have failed before
    this one; ``error``: with what this one failed.

    The delay is random between 0 and ``backoff``, doubled with each failure and
    capped at an hour ("full jitter", from Marc Brooker, Exponential Backoff And
    Jitter, AWS Architecture Blog, 2015), so that tasks which have failed together
    do not come back together.
    """
    if isinstance(error, Retry):
        if error.delay is not None:
            return error.delay
    elif (
        failures >= options.retries
        or not _is_retried(error, options.retry_on)
        or isinstance(error, options.give_up_on)
    ):
        return None
    # The power of a number of failures without end must not become too large.
    return uniform(0, min(MAX_BACKOFF, options.backoff * 2 ** min(failures, 40)))


def _is_retried(error, retry_on):
    """Whether an error is of one of the classes. Not by "Exception", if a TaskFailed.

    What it tells is for its user, who has to put something right.
    """
    if isinstance(error, TaskFailed):
        retry_on = tuple(cls for cls in retry_on if issubclass(cls, TaskFailed))
    return isinstance(error, retry_on)


def outage_delay(outages):
    """Return seconds until the next attempt after an outage, or None to give up.

    ``outages``: how many there were before this one, one after the other. It is half
    of the delay at the least: to try at once is of no use.
    """
    if outages >= MAX_OUTAGES:
        return None
    longest = min(LONGEST_OUTAGE_DELAY, 2.0**outages)
    return uniform(longest / 2, longest)


def conflict_delay(conflicts, attempts):
    """Return seconds until the next run after one has conflicted, or None to give up.

    ``conflicts``: how many runs have done so before, one after the other; ``attempts``:
    how many are made alone. It is random, as that of ``retry_delay``.
    """
    if is_hopeless(conflicts, attempts):
        return None
    # The power of a number without bounds must not become too large.
    longest = FIRST_CONFLICT_DELAY * 2 ** min(conflicts, 40)
    return uniform(0, min(LONGEST_CONFLICT_DELAY, longest))
