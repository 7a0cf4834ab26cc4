"""The states of a task and the transitions between them.

::

    queued ──► running ──► succeeded
      ▲         │  ▲  ├──► failed ─────┐
      │         ▼  │  ├──► cancelled ──┤ retry
      │      retrying └──► lost ───────┤
      └────────────────────────────────┘

A waiting task (queued or retrying) can be cancelled or lost as well.
"""

from collective.background.exceptions import IllegalTransition


QUEUED = "queued"
RUNNING = "running"
RETRYING = "retrying"
SUCCEEDED = "succeeded"
FAILED = "failed"
CANCELLED = "cancelled"
LOST = "lost"

TRANSITIONS = {
    QUEUED: frozenset({RUNNING, CANCELLED, LOST}),
    RUNNING: frozenset({RETRYING, SUCCEEDED, FAILED, CANCELLED, LOST}),
    RETRYING: frozenset({RUNNING, FAILED, CANCELLED, LOST}),
    SUCCEEDED: frozenset(),
    FAILED: frozenset({QUEUED}),
    CANCELLED: frozenset({QUEUED}),
    LOST: frozenset({QUEUED}),
}

STATES = tuple(TRANSITIONS)
UNFINISHED = frozenset({QUEUED, RUNNING, RETRYING})
FINISHED = frozenset(STATES) - UNFINISHED
WAITING = (QUEUED, RETRYING)


def can_be_retried(state):
    """Whether a task may be queued again from there."""
    return QUEUED in TRANSITIONS[state]


def check_transition(task_id, old, new):
    """Raise IllegalTransition unless a task may go from ``old`` to ``new``."""
    if new not in TRANSITIONS[old]:
        allowed = ", ".join(sorted(TRANSITIONS[old])) or "nothing: it is final"
        raise IllegalTransition(
            f"task {task_id} is {old} and cannot become {new}; "
            f"possible from there: {allowed}"
        )
