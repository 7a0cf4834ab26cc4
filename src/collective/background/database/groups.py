"""Groups in the database: which tasks belong together, and who is told at the end."""

from BTrees.Length import Length
from BTrees.OOBTree import OOTreeSet
from collective.background.database.formats import load_call
from collective.background.database.formats import store_call
from collective.background.database.values import load_text
from collective.background.database.values import store_text
from collective.background.model import states
from collective.background.model.records import Progress
from collective.background.scheduling.groups import record_of_whole
from collective.background.scheduling.groups import state_of
from persistent import Persistent
from ZODB.utils import z64


VERSION = 1


class StoredGroup(Persistent):
    """Made of the Group of the first task that was scheduled in it.

    - ``members``: the ids of its tasks; ``left``: how many of them have not ended, a
      Length, so that two that end at the same time do not conflict
    - ``told``: whether its end was told
    """

    told = False

    def __init__(self, group):
        self.version = VERSION
        self.id = group.id
        self._title = store_text(group.title)
        self.members = OOTreeSet([""])
        self.left = Length()
        self._callbacks = {
            state: tuple(map(store_call, calls))
            for state, calls in group.callbacks.items()
        }

    @property
    def is_new(self):
        """Whether its first transaction is not committed: more may join it."""
        return self._p_jar is None or self._p_serial == z64

    def add(self, id):
        self.members.add(id)
        self.left.change(1)
        self.told = False

    def ids(self):
        return [id for id in self.members if id]

    def callbacks(self, state):
        """Return the Calls to make when the group has ended like that."""
        return [load_call(call) for call in self._callbacks.get(state, ())]

    def record(self, records):
        """Return the TaskRecord of the whole. ``records``: of its tasks, not none."""
        first = min(records, key=lambda record: record.created)
        state = state_of({record.state for record in records})
        ended = [record for record in records if record.state in states.FINISHED]
        started = [record.started for record in records if record.started]
        has_ended = len(ended) == len(records)
        return record_of_whole(
            first,
            records,
            id=self.id,
            title=load_text(self._title) or first.title,
            state=state,
            started=min(started, default=None),
            finished=max(record.finished for record in ended) if has_ended else None,
            progress=Progress(done=len(ended), total=len(records)),
        )
