"""The store: which tasks there are, and for how long they are kept.

Plain data, changed under the scheduler's lock only.
"""

from collections import OrderedDict
from collective.background.memory.dependencies import Dependencies
from collective.background.memory.index import Index
from collective.background.memory.uniqueness import UniqueKeys
from collective.background.memory.weight import Weight
from collective.background.model import states
from collective.background.model.config import share_of
from math import inf
from time import monotonic


class Store:
    """All tasks, with their groups, unique keys and dependencies.

    ``tasks``: a mapping for tasks by their id; ``completed``: an ordered one for when
    they have ended (of the monotonic clock, seconds). ``settings()``: returns the
    Settings, which say how many that have ended are kept, and how many bytes of all.
    """

    def __init__(self, tasks, completed, settings):
        self.tasks = tasks
        self._completed = completed  # those that ended first first
        self._settings = settings
        self.clear()

    def clear(self):
        """Know of no task."""
        self.tasks.clear()
        self._completed.clear()
        self._ended = {}  # as in _completed, by how long they are kept
        self._weight = Weight()
        self._index = Index()  # of those that are committed
        self._groups = {}
        self._unique = UniqueKeys()
        self.dependencies = Dependencies()

    # What is asked for is forgotten before, if it is too old.

    def find(self, id):
        """Return the Task with an id, or None."""
        self.evict()
        return self.tasks.get(id)

    def select(self, selection):
        """Return an iterable of the committed tasks that a Selection wants."""
        self.evict()
        return self._index.select(selection)

    def count(self, selection):
        """Return how many committed tasks a Selection wants."""
        self.evict()
        return self._index.count(selection)

    def find_group(self, id):
        """Return the GroupState with an id, or None."""
        self.evict()
        return self._groups.get(id)

    def groups(self):
        """Return all GroupStates."""
        return self._groups.values()

    def find_any(self, id):
        """Return the Task or the GroupState with an id, or None."""
        return self.find(id) or self._groups.get(id)

    def group_of(self, member):
        """Return the GroupState to which a task or a group belongs, or None."""
        return self._groups.get(member.group_id)

    def find_holder(self, task):
        """Return the task that has the unique key of ``task``, or None.

        Of one that has no key, neither this nor ``take_key()`` is asked.
        """
        return self._unique.find(task.unique_key)

    # From the scheduling to the end.

    def keep(self, task):
        """A task is scheduled, in a transaction that may still abort."""
        self.tasks[task.id] = task
        self._weight.note(task)
        self._note(task)
        if task.unique_key is not None:
            self._unique.join(task.unique_key, task)

    def check_weight(self, task):
        """See that a task may wait, or be tried again, with all that it keeps.

        To that end those are forgotten that have ended, the oldest first. Raises
        QueueFull if it is too much all the same.
        """
        self._lighten(task)
        self._weight.check(task, self._settings())

    def is_known_as_bound(self, task):
        """See ``Weight``."""
        return self._weight.is_known_as_bound(task)

    def take_key(self, task):
        """Give a task its unique key.

        Raises UniqueConflict if another one was faster.
        """
        self._unique.take(task.unique_key, task)

    def commit(self, task):
        """The transaction that has scheduled a task is committed."""
        task.committed = True
        if task.id in self.tasks:
            self._index.add(task)

    def set_state(self, task, state):
        """A task comes to a state. Raises IllegalTransition if it cannot."""
        states.check_transition(task.id, task.state, state)
        is_known = self._index.discard(task)
        task.state = state
        if is_known:
            self._index.add(task)
        self._note(task)

    def note_end(self, task):
        """A task has ended, and is kept for its time from now on.

        Returns when something is to be forgotten; see ``evict``.
        """
        self._give_key_back(task)
        if task.id in self.tasks:
            self._weight.note(task)
            self._keep_for_a_while(task)
            self._lighten(task)
        return self.evict(task)

    def reopen(self, task):
        """A task that has ended is to be tried again."""
        self._expire_not(task)
        self._weight.note(task)

    def forget(self, task):
        """Keep a task no longer, and close it. It may be forgotten already."""
        self.tasks.pop(task.id, None)
        self._expire_not(task)
        self._index.discard(task)
        self.dependencies.discard(task)
        self._leave(task)
        self._give_key_back(task)
        self._weight.forget(task)
        task.close()

    def evict(self, ended=None):
        """Forget tasks that have ended, and are too old or too many.

        ``ended``: the Task that has just done so. If there are too many, the oldest of
        its user go first, as long as he has more than his share. Returns when the next
        one is too old (of the monotonic clock); infinity: never.
        """
        now = monotonic()
        upcoming = inf
        # Of those that are kept equally long, the first ones have ended first.
        for keep, kept in list(self._ended.items()):
            while kept and (first := next(iter(kept.values()))) <= now - keep:
                self._forget_id(next(iter(kept)))
            if kept:
                upcoming = min(upcoming, first + keep)
            else:
                del self._ended[keep]
        most = self._settings().keep_count
        while len(self._completed) > most:
            of_user = ended and self._weight.first_of_many(ended, share_of(most))
            self._forget_id(of_user or next(iter(self._completed)))
        return upcoming

    def _lighten(self, task):
        """Forget tasks that have ended, but not this one, if bytes are too many."""
        while id := self._weight.next_to_go(
            task, self._ended_tasks(), self._settings()
        ):
            self.forget(self.tasks[id])

    def _ended_tasks(self):
        return (id for id in self._completed if id in self.tasks)  # and no groups

    def _keep_for_a_while(self, what):
        now = monotonic()
        self._completed[what.id] = now
        self._ended.setdefault(what.keep, OrderedDict())[what.id] = now

    def _expire_not(self, what):
        self._completed.pop(what.id, None)
        self._ended.get(what.keep, {}).pop(what.id, None)

    def _forget_id(self, id):
        if id in self.tasks:
            self.forget(self.tasks[id])
        else:
            self.forget_group(self._groups[id])

    # Groups.

    def keep_group(self, group):
        """A GroupState is new, in a transaction that may still abort."""
        self._groups[group.id] = group
        self._note(group)

    def commit_group(self, group):
        """The transaction in which a group was opened is committed."""
        group.commit()
        self._note(group)
        if group.id in self._groups and not group.present:
            self._keep_for_a_while(group)  # the others go with their last member

    def told_of(self, group):
        """The end of a group was told; all its members may be forgotten by now."""
        if group.total and not group.present:
            self.forget_group(group)

    def forget_group(self, group):
        """Keep a group no longer. It may be forgotten already."""
        if self._groups.pop(group.id, None) is not None:
            self._expire_not(group)
            self._leave(group)

    def _note(self, member):
        """A task or a group has another standing, and so may those above it."""
        group = self.group_of(member)
        while group is not None:
            group.note(member)
            member, group = group, self.group_of(group)

    def _leave(self, member):
        """A task or a group was forgotten; a group is so with its last member."""
        group = self.group_of(member)
        if group is None:
            return
        group.leave(member)
        if group.is_told and not group.present:
            self.forget_group(group)

    def _give_key_back(self, task):
        if task.unique_key is not None:
            self._unique.leave(task.unique_key, task)
