"""The queues of the activity page, and what is wrong with them.

Comes in: the scheduler's QueueStatus. Goes out: a Row for each queue. Used by
``activity``.
"""

from collective.background.api.scheduling import get_scheduler
from collective.background.capture.call import EXTERNAL
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.showing.visibility import count_visible
from collective.background.showing.visibility import visible_records
from dataclasses import dataclass
from datetime import datetime
from zope.i18nmessageid import Message


LOOKED_AT = 1000  # tasks that wait in a queue; of more, the oldest is not looked for
LONG = 60  # seconds that nothing should wait while there is a free slot


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A queue of the site.

    - ``status``: its QueueStatus
    - ``oldest``: the TaskRecord of the task that has waited longest of those that could
      start; None: there is none, or too many wait to look for it
    - ``since``: since when one waits that could start, at the latest; or None
    - ``begun``: when the last one was begun of those that run, or None
    """

    status: object
    oldest: object = None
    since: datetime | None = None
    begun: datetime | None = None

    def is_stuck(self, now):
        """Whether tasks wait though there is room. ``now``: an aware datetime.

        Not if one was begun of late: of many that are short, a slot is free now and
        then.
        """
        if self.since is None or self.status.paused:
            return False
        has_room = self.status.running < self.status.slots
        last = max(self.since, self.begun or self.since)
        return has_room and (now - last).total_seconds() > LONG

    @property
    def is_nobodys(self):
        """Whether tasks wait that no process has slots for."""
        waits = self.status.waiting > 0 and not self.status.paused
        return waits and self.status.slots == 0


def queue_rows(running, now):
    """Return a Row for each queue.

    ``running``: TaskRecords of the tasks of the site that run; ``now``: an aware
    datetime.
    """
    scheduler = get_scheduler()
    lines = scheduler.lines()
    return [_row(status, running, lines, now) for status in scheduler.queues()]


def _row(status, running, lines, now):
    if not status.waiting:
        return Row(status=status)
    begun = [each.began for each in running if each.queue == status.name and each.began]
    waiting, is_all = _waiting(status.name)
    found = next((task for task in waiting if _could_start(task, lines, now)), None)
    return Row(
        status=status,
        oldest=found if is_all else None,
        since=found and max(found.created, found.eta or found.created),
        begun=max(begun, default=None),
    )


def _waiting(queue):
    """Return (TaskRecords, whether that is all of them), the oldest first.

    Of too many it is the oldest of so many that are looked at.
    """
    filters = {"everybody": True, "states": states.WAITING, "queue": queue}
    if count_visible(**filters) > LOOKED_AT:
        return visible_records(start=LOOKED_AT - 1, limit=1, **filters), False
    return visible_records(limit=None, descending=False, **filters), True


def warnings(rows, now):
    """Yield Messages about what keeps tasks waiting that could run."""
    instances = get_scheduler().instances()
    if any(row.status.waiting for row in rows) and not instances:
        yield _(
            "No process executes tasks: all of them wait. Start background worker, or "
            "an instance whose role is not web."
        )
        return
    cut_off = [row.status.name for row in rows if row.status.cut_off]
    if cut_off:
        text = _(
            "The broker of Celery cannot be reached: tasks of these queues wait until "
            "it is: ${names}. The log of the instances says why."
        )
        yield Message(text, mapping={"names": ", ".join(cut_off)})
    relayed = {name for each in instances for name in each.relays}
    for row in rows:
        text = None if row.status.cut_off else _warning(row, relayed, now)
        if text is not None:
            yield Message(text, mapping={"name": row.status.name})


def _warning(row, relayed, now):
    if row.is_nobodys and row.status.name in relayed:
        return _(
            "No worker of Celery has the queue ${name}: its tasks wait until one is "
            "started with background celery-worker."
        )
    if row.is_nobodys:
        return _(
            "No process has slots for the queue ${name}: its tasks wait until one is "
            "started whose setting queues has it, and whose role is not web."
        )
    if row.is_stuck(now):
        return _(
            "Tasks wait in the queue ${name} though slots are free. They may wait for "
            "a lock or a limit; if not, look at the log, or call background check."
        )
    return None


def _could_start(record, lines, now):
    if record.after or (record.eta is not None and record.eta > now):
        return False
    standing = lines.standing(record.id) if record.kind == EXTERNAL else None
    return standing is None or not standing.is_elsewhere
