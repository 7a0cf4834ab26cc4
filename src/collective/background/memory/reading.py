"""What there is to know about tasks: records, counts, results, waiting.

The reading half of the contract; ``scheduler.py`` has the other one, and the
attributes that are used here.
"""

from collective.background.exceptions import WaitTimeout
from collective.background.model import states
from collective.background.model.records import InstanceStatus
from collective.background.model.selection import Selection
from collective.background.scheduling import rules
from collective.background.scheduling.joining import join_transaction
from collective.background.scheduling.results import unpack_here
from itertools import islice
from time import monotonic


class Reading:
    """The calls that change nothing."""

    def _find(self, id):
        with self._changed:
            self._evict()
            return self._schedules.get(id)

    def _get(self, id):
        task = self._find(id)
        if task is None:
            raise rules.not_found(id)
        return task

    def record(self, id):
        group = self._groups.get(id)
        if group is not None:
            with self._changed:
                return group.record(self.instance)
        with self._changed:  # or it would be of two moments
            task = self._find(id)
            return None if task is None else task.record(self.instance)

    def completed(self, id):
        record = self.record(id)
        return None if record is None else record.state in states.FINISHED

    def get_result(self, id):
        task = self._find(id)
        if task is None:
            return None
        if task.state not in states.FINISHED:
            return False
        result = unpack_here(task.result)
        exception = unpack_here(task.exception)
        join_transaction(
            reserve=lambda: None,
            finish=lambda: self.remove(id),
            forget=lambda: None,
        )
        return result, exception

    def peek_result(self, id):
        task = self._find(id)
        return None if task is None else unpack_here(task.result)

    def records(self, *, start=0, limit=50, **filters):
        stop = None if limit is None else start + limit
        selection = Selection(**filters)
        with self._changed:
            self._evict()
            found = islice(self._index.select(selection), start, stop)
            return [task.record(self.instance) for task in found]

    def count(self, **filters):
        selection = Selection(**filters)
        with self._changed:
            self._evict()
            return self._index.count(selection)

    def arguments(self, id):
        task = self._find(id)
        return None if task is None else task.arguments

    def queues(self):
        return self._dispatcher.statuses(self)

    def instances(self):
        with self._changed:
            running = len(self._running)
        return [
            InstanceStatus(
                id=self.instance, slots=dict(self.settings.queues), running=running
            )
        ]

    def wait(self, id, timeout):
        what = self._groups.get(id) or self._get(id)
        with self._changed:
            if not self._changed.wait_for(
                lambda: what.state in states.FINISHED, timeout
            ):
                record = what.record(self.instance)
                raise WaitTimeout(
                    f"task {id} {record.title!r} is still {record.state} after "
                    f"{timeout} s"
                )
            return what.record(self.instance)

    def wait_all(self, timeout):
        deadline = monotonic() + timeout
        with self._changed:
            if not self._changed.wait_for(lambda: not self._unfinished, timeout):
                raise WaitTimeout(
                    f"after {timeout} s there are still unfinished tasks: "
                    + ", ".join(
                        f"{task.plain_title!r} ({task.state})"
                        for task in islice(self._unfinished.values(), 10)
                    )
                )
        self._dispatcher.join(self, deadline - monotonic())
