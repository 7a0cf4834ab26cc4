"""What follows the end of a task: it is told, others go on or end, callbacks run."""

from collective.background.model import states
from collective.background.running import outcome
from collective.background.scheduling import rules
from collective.background.scheduling.endings import standing_of
from collective.background.scheduling.endings import told_as
from collective.background.telling.events import announce
from collective.background.telling.events import announce_scheduled
from dataclasses import replace
from zope.i18n import translate


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
        ended = [(task, record, callbacks)]
        raised = None
        # No recursion: many may wait for each other in a chain.
        for task, record, callbacks in ended:
            try:
                announce(record)
            except BaseException as error:  # SystemExit of a subscriber
                raised = error  # not before all that follows is done
            ended += self._release(record, standing_of(record))
            self._call_back(callbacks, record)
            ended += self._end_groups(task)
        if raised is not None:
            raise raised

    def end_group(self, group):
        """A GroupState has ended with its transaction, as it is empty."""
        for task, record, callbacks in self._end_line(group):
            self.follow(task, record, callbacks)

    def _end_groups(self, task):
        """See whether the group of a task, and those above it, have ended with it.

        Returns as ``_release``.
        """
        with self._lifecycle.changed:
            group = self._lifecycle.store.group_of(task)
        return self._end_line(group)

    def _end_line(self, group):
        ended = []
        while group is not None:
            with self._lifecycle.changed:
                is_told = group.tell()
                record = self._lifecycle.record(group)
                ending = group.standing
                above = self._lifecycle.store.group_of(group)
            if not is_told:
                break
            ended += self._release(record, ending)
            if not group.is_silent:
                self._call_back(_make_callbacks(ending, group), record)
            with self._lifecycle.changed:
                self._lifecycle.store.told_of(group)
            group = above
        return ended

    def _release(self, before, ending):
        """See to those that were to start after what has ended.

        ``before``: its TaskRecord; ``ending``: see ``endings``. Returns those that
        cannot start any more: tasks, records and callbacks.
        """
        lifecycle = self._lifecycle
        if lifecycle.is_stopping:
            return []
        if ending == states.SUCCEEDED:
            with lifecycle.changed:
                free = lifecycle.unfinished.release(before.id)
            for successor in free:
                lifecycle.threads.start(successor)
            return []
        ended = outcome.cancelled(rules.in_vain(before, ending))
        found = []
        with lifecycle.changed:
            for successor in lifecycle.unfinished.waiting_for(before.id):
                callbacks = callbacks_of(successor, ended)
                record = lifecycle.end(successor, ended)
                found.append((successor, record, callbacks))
        return found

    def _call_back(self, callbacks, record):
        """Schedule callbacks, Tasks, with the TaskRecord of what has ended."""
        for callback in callbacks:
            callback.call = replace(callback.call, extra=(record,))
            scheduled = self._lifecycle.record(callback)
            announce_scheduled(scheduled)
            with self._lifecycle.changed:
                self._lifecycle.store.keep(callback)
            self._lifecycle.commit(callback, scheduled)


def callbacks_of(task, ended):
    """Return the Tasks to run when a Task has ended with an Outcome.

    To be made before its end, in which it gives back what they need.
    """
    return _make_callbacks(standing_of(ended), task)


def _make_callbacks(ending, origin):
    """Return the Tasks of ``on_success``, ``on_failure`` or ``notify``.

    ``origin``: the Task or the GroupState that has ended like that. Nobody could be
    refused, so they take no account of the waiting room. Who is lost is so with his
    process, in which nobody can be told any more.
    """
    if ending == states.LOST:
        return []
    return [
        rules.make_callback(
            call, translate(origin.title), origin.snapshot, origin.database, origin
        )
        for call in origin.callbacks.get(told_as(ending), ())
    ]
