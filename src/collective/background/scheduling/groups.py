"""The groups of the in-process scheduler: what is known of their tasks.

Plain data, changed under the scheduler's lock only.
"""

from collections import Counter
from collective.background.capture.snapshot import without_form
from collective.background.model import states
from collective.background.model.records import Progress
from dataclasses import replace
from datetime import datetime
from datetime import UTC


KIND = "group"

# What the whole is, once all have ended: the first of these that one of them is.
WORST_FIRST = (states.FAILED, states.LOST, states.CANCELLED, states.SUCCEEDED)


def state_of(found):
    """Return the state of a group whose tasks have these states, a set."""
    if not found & states.UNFINISHED:
        return next(state for state in WORST_FIRST if state in found)
    return states.QUEUED if found == {states.QUEUED} else states.RUNNING


def record_of_whole(first, tasks, *, started, **values):
    """Return the TaskRecord of a group.

    ``first``: that of its first task; ``tasks``: all that are known, or their records.
    ``started`` and ``values``: what the group has of its own.
    """
    return replace(
        first,
        kind=KIND,
        group_id=None,
        started=started,
        attempts=1 if started else 0,
        cancel_requested=any(task.cancel_requested for task in tasks),
        error=next((task.error for task in tasks if task.error), None),
        messages=(),
        has_result=False,
        log=(),
        **values,
    )


class GroupState:
    """One group: the states of its tasks, also of those that were forgotten.

    ``present``: the tasks that are still known, by their id. ``snapshot`` and
    ``database``: of the first one, for the group's callbacks.
    """

    def __init__(self, group, task):
        self.group = group
        self.snapshot = without_form(task.snapshot)
        self.database = task.database
        self.present = {}
        self.started = self.finished = None
        self._first = task
        self._states = {}
        self._counts = Counter()
        self._told = False

    def note(self, task):
        """A task has joined the group, or changed its state."""
        self.present[task.id] = task
        self._count(task.id, task.state)
        now = datetime.now(UTC)
        if task.state == states.RUNNING:
            self.started = self.started or now
        self.finished = now if self.state in states.FINISHED else None
        if self.finished is None:
            self._told = False

    def leave(self, task):
        """A task was forgotten. One that was never committed does not count."""
        self.present.pop(task.id, None)
        if not task.committed:
            self._count(task.id, None)

    def _count(self, id, state):
        before = self._states.pop(id, None)
        if before is not None:
            self._counts[before] -= 1
        if state is not None:
            self._states[id] = state
            self._counts[state] += 1

    @property
    def state(self):
        """The state of the whole."""
        return state_of({state for state, count in self._counts.items() if count})

    def tell(self):
        """Return whether it has ended, and nobody was told so far."""
        ended = self.finished is not None and not self._told
        self._told = self._told or ended
        return ended

    def record(self, instance):
        """Return the TaskRecord of the whole."""
        first = self._first.record(instance)
        ended = sum(self._counts[state] for state in states.FINISHED)
        present = self.present.values()
        return record_of_whole(
            first,
            present,
            id=self.group.id,
            title=self.group.title or first.title,
            state=self.state,
            started=self.started,
            finished=self.finished,
            progress=Progress(done=ended, total=len(self._states)),
        )
