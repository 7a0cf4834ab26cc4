"""The tasks that have not ended: which wait, for what, and which run.

Plain data, changed under the scheduler's lock only.
"""

from collective.background.memory.room import Room
from collective.background.model import states
from collective.background.model.trail import note_attempt
from collective.background.scheduling import rules
from collective.background.scheduling.setbacks import count_setback
from datetime import datetime
from datetime import UTC
from math import inf
from time import monotonic


class Unfinished:
    """``store``: the Store, which has them, too.

    - ``tasks``: those that are committed, by their id
    - ``running``: the ids of those that are in a thread
    - ``room``: the waiting Room
    """

    def __init__(self, store):
        self.tasks = {}
        self.running = set()
        self._store = store
        self.room = Room()

    def add(self, task):
        """A task is committed, or is to be tried again."""
        self.tasks[task.id] = task

    def is_waiting(self, task):
        """Whether a task has not ended, and is in no thread."""
        return task.state in states.WAITING

    def take_room(self, task):
        """A task is about to be committed, and will wait then."""
        self.room.enter(task, inf if task.options.after else task.not_before)

    def line_up(self, task):
        """A task that is queued waits, until those before it have succeeded.

        Returns the exception if that is in vain, else None.
        """
        self.room.enter(task, task.not_before)
        hindrances = []
        for id in sorted(task.after):
            before = self._store.find_any(id)
            # What another transaction has not committed may never be.
            if before is None or not before.committed:
                hindrances.append(rules.predecessor_unknown(id))
            elif before.state == states.SUCCEEDED:
                task.after.discard(id)
            elif before.state in states.FINISHED:
                hindrances.append(rules.in_vain(before, before.standing))
        if task.after:
            self._store.dependencies.add(task)
            self.room.enter(task, inf)
        return rules.worst(hindrances)

    def release(self, id):
        """What has this id has succeeded: return those that may start because of it."""
        free = self._lined_up(self._store.dependencies.succeeded(id))
        for task in free:
            self.room.enter(task, task.not_before)
        return free

    def waiting_for(self, id):
        """Return the tasks that wait for what has this id."""
        return self._lined_up(self._store.dependencies.waiting_for(id))

    def _lined_up(self, tasks):
        """Return those that wait; the others have ended, or come into line only now."""
        return [
            task for task in tasks if task.id in self.tasks and self.is_waiting(task)
        ]

    # From state to state.

    def begin(self, task):
        """A task comes into a thread; return False if it is not to run."""
        if not self.is_waiting(task):
            return False
        self.room.leave(task)
        self.running.add(task.id)
        task.began = datetime.now(UTC)
        task.started = task.started or task.began
        self.set_running(task)
        return True

    def leave_thread(self, task):
        """A run of a task has ended, if it was in a thread."""
        self.running.discard(task.id)

    def set_running(self, task):
        """An attempt of a task begins."""
        self._store.set_state(task, states.RUNNING)
        task.attempts += 1

    def put_off(self, task, ended, instance):
        """Let a task wait for another run, in no slot.

        ``ended``: the Outcome of its run; ``instance``: the process.
        """
        _note_attempt(task, states.RETRYING, ended.error, instance)
        count_setback(task, ended)
        task.error = ended.error
        task.not_before = monotonic() + ended.retry_in
        self.room.enter(task, task.not_before)
        self._store.set_state(task, states.RETRYING)

    def end(self, task, ended, instance):
        """A task has come to its end. ``ended``, ``instance``: as of ``put_off``."""
        if task.state == states.RUNNING:  # not if it has never begun
            _note_attempt(task, ended.state, ended.error, instance)
        self.room.leave(task)
        self.leave_thread(task)
        self.tasks.pop(task.id, None)
        task.result, task.exception = ended.result, ended.exception
        task.error = ended.error
        task.finished = datetime.now(UTC)
        self._store.set_state(task, ended.state)
        if ended.state == states.SUCCEEDED:
            task.release()


def _note_attempt(task, state, error, instance):
    note_attempt(
        task,
        state,
        error,
        number=task.attempts,
        started=task.began,
        finished=datetime.now(UTC),
        instance=instance,
    )
