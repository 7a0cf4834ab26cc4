"""Groups in the database: which tasks belong together, and who is told at the end."""

from BTrees.OOBTree import OOTreeSet
from collective.background import states
from collective.background.persistent.stored import load_call
from collective.background.persistent.stored import store_call
from collective.background.records import Progress
from collective.background.scheduling.groups import KIND
from collective.background.scheduling.groups import state_of
from dataclasses import replace
from persistent import Persistent


class StoredGroup(Persistent):
    """Made of the Group of the first task that was scheduled in it.

    - ``members``: the ids of its tasks
    - ``told``: whether its end was told
    """

    told = False

    def __init__(self, group, body):
        self.id = group.id
        self.title = group.title
        self.body = body  # of the first task, whose environment callbacks get
        self.members = OOTreeSet([""])
        self._callbacks = {
            state: tuple(map(store_call, calls))
            for state, calls in group.callbacks.items()
        }

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
        return replace(
            first,
            id=self.id,
            group_id=None,
            title=self.title or first.title,
            state=state,
            kind=KIND,
            started=min(started, default=None),
            finished=max(record.finished for record in ended) if has_ended else None,
            attempts=1 if started else 0,
            cancel_requested=any(record.cancel_requested for record in records),
            progress=Progress(done=len(ended), total=len(records)),
            error=next((record.error for record in records if record.error), None),
            messages=(),
            has_result=False,
            log=(),
        )
