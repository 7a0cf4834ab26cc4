"""Groups in memory: what is known of their members.

Plain data, changed under the scheduler's lock only.
"""

from collections import Counter
from collective.background.model import states
from collective.background.scheduling.endings import ending_of_whole
from collective.background.scheduling.endings import state_of
from collective.background.scheduling.groups import first_of
from collective.background.scheduling.groups import is_of
from collective.background.scheduling.groups import KIND
from collective.background.scheduling.groups import OF_THE_FIRST
from collective.background.scheduling.groups import record_of_whole
from datetime import datetime
from datetime import UTC


class GroupState:
    """A Group: the standings of its members, also of those that were forgotten.

    - ``group``: the Group; ``database``: to open for its callbacks
    - ``keep``: for how long it is kept if it is empty (seconds)
    - ``present``: the members that are still known, Tasks and GroupStates, by their id
    - ``users``: (user_id, user_path) of each user whose tasks are or were in it
    - ``committed``: whether the transaction in which it was opened is
    - ``is_told``: whether its end was told; ``is_silent``: whether nobody is to
      hear of it
    """

    kind = KIND

    def __init__(self, group, keep, database):
        self.group = group
        self.keep = keep
        self.database = database
        self.id, self.group_id = group.id, group.parent_id
        self.own_title, self.callbacks = group.title, group.callbacks
        self.snapshot, self.user = group.snapshot, group.snapshot.user
        self.created = group.created
        self.started = self.finished = None
        self.present = {}
        self.users = set()
        self.first = dict(OF_THE_FIRST)
        self.committed = self.dismissed = self.is_silent = False
        self._standings = {}
        self._errors = {}  # what ``first_error`` has of those that were forgotten
        self._counts = Counter()
        self.is_told = False

    @property
    def user_id(self):
        return self.user.id

    @property
    def user_path(self):
        return self.user.folder

    @property
    def site_path(self):
        return self.snapshot.site_path

    @property
    def queue(self):
        return self.first["queue"]

    @property
    def priority(self):
        return self.first["priority"]

    @property
    def title(self):
        return self.own_title or self.first["title"]

    @property
    def standing(self):
        """Its ending, or its state until then."""
        found = {standing for standing, count in self._counts.items() if count}
        if found & states.UNFINISHED:
            return states.QUEUED if found == {states.QUEUED} else states.RUNNING
        if not (found or self.committed):
            return states.QUEUED  # it may get members
        return ending_of_whole(found)

    @property
    def state(self):
        return state_of(self.standing)

    @property
    def counts(self):
        """How many members have ended, by their endings."""
        unfinished = states.UNFINISHED
        return {end: n for end, n in self._counts.items() if end not in unfinished}

    @property
    def total(self):
        return self._counts.total()

    @property
    def error(self):
        return self.record("").error

    @property
    def cancel_requested(self):
        return any(member.cancel_requested for member in self.present.values())

    def first_error(self, state):
        """See ``record_of_whole``."""
        if state in self._errors:
            return self._errors[state]
        for member in self.present.values():
            if member.state == state and is_of(self.user, member):
                return member.title, member.error
        return None

    def record(self, instance):
        """Return the TaskRecord of the whole; ``instance`` is not in it."""
        return record_of_whole(self, cancel_requested=self.cancel_requested)

    # What happens to it.

    def note(self, member):
        """A member has joined the group, or has another standing."""
        if not self._standings and member.kind != KIND:
            self.first = first_of(self.user, member)
        self.present[member.id] = member
        self.users |= _users_of(member)
        self._count(member.id, member.standing)
        self.started = self.started or member.started
        self._note_end()

    def commit(self):
        self.committed = True
        self._note_end()

    def leave(self, member):
        """A member was forgotten. One that was never committed does not count."""
        if self.present.pop(member.id, None) is None:
            return
        if not member.committed:
            self._count(member.id, None)
            self._note_end()
        elif member.error is not None and is_of(self.user, member):
            self._errors.setdefault(member.state, (member.title, member.error))

    def tell(self):
        """Return whether it has ended, and nobody was told so far."""
        is_new = self.committed and self.finished is not None and not self.is_told
        self.is_told |= is_new
        return is_new

    def _count(self, id, standing):
        before = self._standings.pop(id, None)
        if before is not None:
            self._counts[before] -= 1
        if standing is not None:
            self._standings[id] = standing
            self._counts[standing] += 1

    def _note_end(self):
        if self.state in states.FINISHED:
            self.finished = self.finished or datetime.now(UTC)
        else:
            self.finished = None
            self.is_told = False


def _users_of(member):
    is_group = member.kind == KIND
    return member.users if is_group else {(member.user_id, member.user_path)}
