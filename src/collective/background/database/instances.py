"""The instances of a cluster, and what they say of themselves.

Each process has an Instance of its own, which nobody else writes: a heartbeat, and
reports of the tasks that run there. So the progress of all its tasks is one write,
in a transaction of its own.
"""

from collective.background.model.records import Progress
from dataclasses import dataclass
from persistent import Persistent


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What is known of a running task; attributes as those of a TaskRecord."""

    title: str | None
    progress: Progress
    messages: tuple
    log: tuple


class Instance(Persistent):
    """A process.

    - ``id``: ``host:pid:token``
    - ``beat``: a number that changes while it is alive; who looks at it measures
      the time, as the clocks of machines may differ
    - ``slots``: the number of slots by the name of the queue, empty if it executes
      nothing
    - ``reports``: Reports by the ids of its running tasks
    """

    def __init__(self, id, slots):
        self.id = id
        self.slots = dict(slots)
        self.beat = 0
        self.reports = {}

    def tell(self, reports):
        """It is alive, and its tasks are as far as that."""
        self.beat += 1
        self.reports = reports


def report_of(task):
    """Return the Report of a Task of this process."""
    return Report(
        title=task.options.title,
        progress=task.progress,
        messages=tuple(task.messages),
        log=tuple(task.log),
    )
