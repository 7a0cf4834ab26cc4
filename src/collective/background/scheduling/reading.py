"""What there is to know about tasks: records, counts, results, waiting.

The reading half of the contract; ``scheduler.py`` has the other one, and the
attributes that are used here.
"""

from collective.background import states
from collective.background.capture.pickling import unpack
from collective.background.capture.snapshot import find_application
from collective.background.exceptions import BadOption
from collective.background.exceptions import TaskNotFound
from collective.background.exceptions import WaitTimeout
from collective.background.scheduling.joining import join_transaction
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
            raise TaskNotFound(f"there is no task {id!r} (any more)")
        return task

    def record(self, id):
        group = self._groups.get(id)
        if group is not None:
            with self._changed:
                return group.record(self.instance)
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
        app = find_application()
        result = task.result and unpack(task.result, app)
        exception = task.exception and unpack(task.exception, app)
        join_transaction(
            reserve=lambda: None,
            finish=lambda: self.remove(id),
            forget=lambda: None,
        )
        return result, exception

    def records(self, *, start=0, limit=50, **filters):
        stop = None if limit is None else start + limit
        with self._changed:
            found = islice(self._select(**filters), start, stop)
            return [task.record(self.instance) for task in found]

    def count(self, **filters):
        with self._changed:
            return sum(1 for _ in self._select(**filters))

    def _select(
        self,
        states=None,
        user_id=None,
        user_path=None,
        site_path=None,
        context_path=None,
        queue=None,
        group_id=None,
    ):
        """Yield the committed tasks that pass the filters, newest first."""
        self._evict()
        wanted = _check_states(states)
        for task in reversed(self._schedules.values()):
            user = task.snapshot.user
            if (
                task.committed
                and task.state in wanted
                and user_id in (None, user.id)
                and user_path in (None, user.folder)
                and site_path in (None, task.snapshot.site_path)
                and context_path in (None, task.call.context_path)
                and queue in (None, task.options.queue)
                and group_id in (None, task.group and task.group.id)
            ):
                yield task

    def queues(self):
        with self._changed:
            return [queue.status() for queue in self._dispatcher.queues.values()]

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
        self._dispatcher.join(deadline - monotonic())


def _check_states(wanted):
    """Return a set of states; all of them for None."""
    if wanted is None:
        return states.TRANSITIONS
    wanted = {wanted} if isinstance(wanted, str) else set(wanted)
    unknown = sorted(wanted.difference(states.STATES))
    if unknown:
        raise BadOption(
            f"there is no state {', '.join(map(repr, unknown))}; there are: "
            + ", ".join(states.STATES)
        )
    return wanted
