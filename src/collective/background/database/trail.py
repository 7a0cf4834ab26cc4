"""The trail of a task as the database has it, see ``model/trail.py``: plain values.

Most tasks have none. Comes in: Attempts and Interventions. Goes out: what a StoredTask,
or a wish in a shard, keeps of them; and they themselves again.
"""

from collective.background.database.values import from_dict
from collective.background.database.values import load_error
from collective.background.database.values import store_error
from collective.background.database.values import to_dict
from collective.background.model.trail import Attempt
from collective.background.model.trail import Intervention
from collective.background.model.trail import note_attempt
from datetime import datetime
from datetime import UTC


def stored_tuple(name, load, store):
    """Return a property: a tuple of values, which is kept as one of plain values.

    ``name``: of the attribute that keeps it; ``load``, ``store``: of one of them.
    """

    def read(obj):
        return tuple(map(load, getattr(obj, name)))

    def write(obj, values):
        setattr(obj, name, tuple(map(store, values)))

    return property(read, write)


def store_attempt(attempt):
    """Return what can be stored of an Attempt."""
    return {**to_dict(attempt), "error": store_error(attempt.error)}


def load_attempt(stored):
    """Return the Attempt again."""
    return from_dict(Attempt, {**stored, "error": load_error(stored["error"])})


def store_intervention(intervention):
    """Return what can be stored of an Intervention, or None for None."""
    return intervention and to_dict(intervention)


def load_intervention(stored):
    """Return the Intervention again."""
    return stored and from_dict(Intervention, stored)


def store_wish(what, by):
    """Return what can be stored of a wish. ``by``: the Intervention, or None."""
    return {"what": what, "by": store_intervention(by)}


def load_wish(stored):
    """Return (what, by) again; None for both: there is no wish."""
    if not isinstance(stored, dict):  # as it was before there were interventions
        return stored, None
    return stored["what"], load_intervention(stored["by"])


def note_end_of_attempt(stored, state, error, task, began=None):
    """The attempt that runs has come to its end.

    ``state``, ``error``: of the Attempt; ``task``: the Task that ran, if it is known;
    ``began``: else when it was begun, as far as its instance had told.
    """
    status = stored.status
    number = stored.attempts
    if task is not None:
        number, began = task.attempts, task.began
        if task.timeline != stored.timeline:
            stored.timeline = task.timeline
    elif began is None and stored.fence in (status.begun, status.done):
        began = status.began
    note_attempt(
        stored,
        state,
        error,
        number=max(number, status.attempts),
        started=began,
        finished=datetime.now(UTC),
        instance=stored.instance,
    )
