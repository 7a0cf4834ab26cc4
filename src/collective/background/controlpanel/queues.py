"""The queues of the activity page, and what is wrong with them.

Comes in: the scheduler's QueueStatus. Goes out: a Row for each queue. Used by
``activity``.
"""

from collective.background.api.scheduling import get_scheduler
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.showing.visibility import count_visible
from collective.background.showing.visibility import visible_records
from dataclasses import dataclass
from zope.i18nmessageid import Message


LOOKED_AT = 1000  # tasks that wait in a queue; of more, the oldest is not looked for
LONG = 60  # seconds that nothing should wait while there is a free slot


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """``status``: a QueueStatus; ``oldest``: the TaskRecord of the site's task that has
    waited longest of those that could start, or None."""

    status: object
    oldest: object

    def is_stuck(self, now):
        """Whether it waits though there is room. ``now``: an aware datetime."""
        if self.oldest is None or self.status.paused:
            return False
        has_room = self.status.running < self.status.slots
        return has_room and (now - self._since).total_seconds() > LONG

    @property
    def is_nobodys(self):
        """Whether tasks wait that no process has slots for."""
        return self.status.waiting and not (self.status.slots or self.status.paused)

    @property
    def _since(self):
        return max(self.oldest.created, self.oldest.eta or self.oldest.created)


def queue_rows(now):
    """Return a Row for each queue. ``now``: an aware datetime."""
    return [
        Row(status=status, oldest=_oldest(status.name, now) if status.waiting else None)
        for status in get_scheduler().queues()
    ]


def warnings(rows, now):
    """Yield Messages about what keeps tasks waiting that could run."""
    instances = get_scheduler().instances()
    if any(row.status.waiting for row in rows) and not instances:
        yield _(
            "No process executes tasks: all of them wait. Start background worker, or "
            "an instance whose role is not web."
        )
        return
    relayed = {name for each in instances for name in each.relays}
    for row in rows:
        text = None
        if row.status.cut_off:
            text = _(
                "The broker of Celery cannot be reached: the tasks of the queue "
                "${name} wait until it is. The log of the instances says why."
            )
        elif row.is_nobodys and row.status.name in relayed:
            text = _(
                "No worker of Celery has the queue ${name}: its tasks wait until one "
                "is started with background celery-worker."
            )
        elif row.is_nobodys:
            text = _(
                "No process has slots for the queue ${name}: its tasks wait until one "
                "is started whose setting queues has it."
            )
        elif row.is_stuck(now):
            text = _(
                "Tasks wait in the queue ${name} though slots are free. They may wait "
                "for a lock or a limit; if not, look at the log, or call background "
                "check."
            )
        if text is not None:
            yield Message(text, mapping={"name": row.status.name})


def _oldest(queue, now):
    filters = {"everybody": True, "states": states.WAITING, "queue": queue}
    if count_visible(**filters) > LOOKED_AT:
        return None
    waiting = visible_records(limit=None, descending=False, **filters)
    return next((task for task in waiting if _could_start(task, now)), None)


def _could_start(record, now):
    return not record.after and (record.eta is None or record.eta <= now)
