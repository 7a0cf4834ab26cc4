"""Groups in the database: which tasks belong together, and who is told at the end."""

from BTrees.Length import Length
from BTrees.OOBTree import OOTreeSet
from collective.background.capture.snapshot import UserReference
from collective.background.database.formats import load_callbacks
from collective.background.database.formats import load_snapshot
from collective.background.database.formats import store_call
from collective.background.database.formats import store_snapshot
from collective.background.database.shard import microseconds
from collective.background.database.values import from_dict
from collective.background.database.values import load_error
from collective.background.database.values import load_text
from collective.background.database.values import store_error
from collective.background.database.values import store_text
from collective.background.database.values import to_dict
from collective.background.model import states
from collective.background.scheduling.endings import ending_of_whole
from collective.background.scheduling.endings import state_of
from collective.background.scheduling.endings import WORST_FIRST
from collective.background.scheduling.groups import first_of
from collective.background.scheduling.groups import is_of
from collective.background.scheduling.groups import KIND
from collective.background.scheduling.groups import OF_THE_FIRST
from datetime import datetime
from datetime import UTC
from persistent import Persistent
from ZODB.utils import z64


VERSION = 1
FEW = 100  # members that have not ended, so that who ends some of them conflicts


class StoredGroup(Persistent):
    """Made of a Group of ``scheduling/groups.py``, when that is opened.

    It has what ``record_of_whole`` needs. And:

    - ``home``, ``keep``: as of a StoredTask; ``number``: orders groups by age
    - ``users``: (user_id, user_path) of each user whose tasks are or were in it
    - ``members``: the ids of the tasks and groups in it that are still known
    - ``ending``: what it has come to, once its end was told, else None
    - ``is_silent``: whether nobody is to hear of its end any more

    Numbers are Lengths, so that members that end at the same time do not conflict. The
    group itself is written when the first one has started, and the first one has ended
    in vain; when the last ones end; and when one is tried again.
    """

    ending = started = finished = None
    is_silent = dismissed = False
    kind = KIND

    def __init__(self, group, home, keep):
        self.version = VERSION
        self.id, self.group_id = group.id, group.parent_id
        self.home = home
        self.keep = keep
        self.created = group.created
        self.number = microseconds(group.created)
        self._title = store_text(group.title)
        self._user = to_dict(group.snapshot.user)
        self.site_path = group.snapshot.site_path
        self._snapshot = store_snapshot(group.snapshot) if group.callbacks else None
        self._callbacks = {
            state: tuple(map(store_call, calls))
            for state, calls in group.callbacks.items()
        }
        self.members = OOTreeSet([""])
        self.users = ()
        self._total = Length()
        self._ended = {ending: Length() for ending in WORST_FIRST}
        self._first = dict(OF_THE_FIRST)
        self._errors = {}  # (id, title, error) of the first one, by its state

    @property
    def is_new(self):
        """Whether its first transaction is not committed: more may join it."""
        self._p_activate()  # the serial of what was not loaded yet is zero as well
        return self._p_jar is None or self._p_serial == z64

    @property
    def own_title(self):
        return load_text(self._title)

    @property
    def title(self):
        return self.own_title or self.first["title"]

    @property
    def first(self):
        return {**self._first, "title": load_text(self._first["title"])}

    @property
    def queue(self):
        return self._first["queue"]

    @property
    def priority(self):
        return self._first["priority"]

    @property
    def user(self):
        return from_dict(UserReference, self._user)

    @property
    def user_id(self):
        return self._user["id"]

    @property
    def user_path(self):
        return self._user["folder"]

    @property
    def snapshot(self):
        """The environment of its callbacks."""
        return load_snapshot(self._snapshot)

    def callbacks(self, state):
        """Return the Calls to make when the group has ended like that."""
        return load_callbacks(self._callbacks.get(state, ()))

    def ids(self):
        return [id for id in self.members if id]

    @property
    def total(self):
        return self._total()

    @property
    def counts(self):
        """How many members have ended, by their endings."""
        return {end: length() for end, length in self._ended.items() if length()}

    @property
    def is_over(self):
        """Whether all members have ended, though that may not be told yet."""
        return sum(self.counts.values()) >= self.total

    @property
    def standing(self):
        """Its ending, or its state until then, as far as it knows itself."""
        has_begun = self.started or self.counts
        return self.ending or (states.RUNNING if has_begun else states.QUEUED)

    @property
    def state(self):
        return state_of(self.standing)

    def first_error(self, state):
        """See ``record_of_whole``."""
        _, title, error = self._errors.get(state, (None, None, None))
        return None if error is None else (load_text(title), load_error(error))

    # What happens to it. ``member``: a StoredTask or a StoredGroup; ``ending``: what it
    # has come to, or ``error``: its ErrorInfo.

    def add(self, member):
        """A member has joined the group."""
        if self.total == 0 and member.kind != KIND:
            first = first_of(self.user, member)
            self._first = {**first, "title": store_text(first["title"])}
        self.members.add(member.id)
        self._total.change(1)
        self.go_on()

    def note_user(self, member):
        """A task has joined it, or a group in it."""
        user = (member.user_id, member.user_path)
        if member.kind != KIND and user not in self.users:
            self.users = (*self.users, user)

    def begin(self, started):
        """A member has begun; ``started``: when, or None if it has not."""
        if self.started is None and started is not None:
            self.started = started

    def count(self, member, ending, error):
        """A member has ended.

        Of those that end at the same time in several instances one sees that they are
        the last ones: an instance that is to look once more may be dead by then.
        """
        self._ended[ending].change(1)
        if self.total - sum(self.counts.values()) < FEW:
            self._p_changed = True
        self.begin(member.started)
        state = state_of(ending)
        if error and state not in self._errors and is_of(self.user, member):
            self.note_error(member, state, error)

    def note_error(self, member, state, error):
        """A member is the first one with this state, or nobody is (None)."""
        found = (member.id, store_text(member.title), store_error(error))
        self._errors = {**self._errors, state: found}

    def uncount(self, member, ending):
        """A member is to be tried again; return whether its error was that of all."""
        self._ended[ending].change(-1)
        self.go_on()
        if not self.counts:
            self.started = None
        state = state_of(ending)
        is_first = self._errors.get(state, ("",))[0] == member.id
        if is_first:
            self._errors = {s: e for s, e in self._errors.items() if s != state}
        return is_first

    def withdraw(self, member, ending):
        """A member that has ended like that was never committed, and does not count."""
        self._ended[ending].change(-1)
        self._total.change(-1)

    def end(self):
        """All have ended, and that is told now; return what it has come to."""
        self.ending = ending_of_whole(set(self.counts))
        self.finished = datetime.now(UTC)
        return self.ending

    def go_on(self):
        """It has not ended, or not any more. Who ends it at this moment conflicts."""
        self.ending = self.finished = None
        self.dismissed = False
