"""What follows the end of a task: it is told, others go on or end, callbacks run."""

from collective.background.model import states
from collective.background.running import outcome
from collective.background.scheduling import rules
from collective.background.telling.events import announce
from collective.background.telling.events import announce_scheduled
from dataclasses import replace


class Sequel:
    """``lifecycle``: the Lifecycle, in which ends are noted, and callbacks begin.

    Nothing of this is done under the lock.
    """

    def __init__(self, lifecycle):
        self._lifecycle = lifecycle

    def follow(self, task, record, callbacks=()):
        """A Task has ended: see to all that comes of it.

        ``record``: the TaskRecord of its end; ``callbacks``: ``callbacks_of(task)``.
        """
        ended = [(task, record)]
        # No recursion: many may wait for each other in a chain.
        for task, record in ended:
            try:
                announce(record)
            finally:  # whatever a subscriber raises, even SystemExit
                if not self._lifecycle.is_stopping:
                    ended += self._release(record)
                for callback in callbacks:
                    self._call_back(callback, record)
                callbacks = ()
                if task.group is not None:
                    self._end_group(task)

    def _release(self, record):
        """See to those that were to start after a task that has ended.

        Returns those that cannot start any more: their tasks and records.
        """
        unfinished = self._lifecycle.unfinished
        if record.state == states.SUCCEEDED:
            with self._lifecycle.changed:
                free = unfinished.release(record.id)
            for successor in free:
                self._lifecycle.threads.start(successor)
            return []
        ended = outcome.cancelled(rules.in_vain(record))
        with self._lifecycle.changed:
            return [
                (successor, self._lifecycle.end(successor, ended))
                for successor in unfinished.dependencies.waiting_for(record.id)
            ]

    def _end_group(self, task):
        """Run the callbacks of a group, if ``task`` was its last one."""
        with self._lifecycle.changed:
            group = self._lifecycle.store.find_group(task.group.id)
            if group is None or not group.tell():
                return
            record = self._lifecycle.record(group)
            calls = task.group.callbacks.get(record.state, ())
            callbacks = _make_callbacks(calls, group, task)
        for callback in callbacks:
            self._call_back(callback, record)

    def _call_back(self, callback, record):
        callback.call = replace(callback.call, extra=(record,))
        scheduled = self._lifecycle.record(callback)
        announce_scheduled(scheduled)
        with self._lifecycle.changed:
            self._lifecycle.store.keep(callback)
        self._lifecycle.commit(callback, scheduled)


def callbacks_of(task, state):
    """Return the Tasks to run when a Task has ended with ``state``.

    To be made before its end, in which it gives back what they need.
    """
    return _make_callbacks(task.callbacks.get(state, ()), task, task)


def _make_callbacks(calls, origin, task):
    """Return the Tasks of ``on_success``, ``on_failure`` or ``notify``.

    ``calls``: a Call for each; ``origin``: has the snapshot and the database to use;
    ``task``: the one that has ended. Nobody could be refused, so they take no account
    of the waiting room.
    """
    return [
        rules.make_callback(
            call, task.plain_title, origin.snapshot, origin.database, task
        )
        for call in calls
    ]
