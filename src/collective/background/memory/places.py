"""Where tasks in memory stand that wait; see ``ILines``."""

from collective.background.interfaces import ILines
from collective.background.model.records import LOOKED_AHEAD
from collective.background.model.records import Standing
from collective.background.model.selection import Selection
from collective.background.model.states import RUNNING
from collective.background.model.states import WAITING
from functools import cache
from itertools import islice
from zope.interface import implementer


@implementer(ILines)
class Lines:
    """``lifecycle``: the Lifecycle of the tasks."""

    def __init__(self, lifecycle):
        self._lifecycle = lifecycle
        self._line = cache(self._line)

    def is_paused(self, queue):
        return self._ask(lambda queues: queues[queue].is_paused(self._lifecycle))

    def is_executed(self, queue):
        return True  # by this process; others have none of it

    def is_cut_off(self, queue):
        return False

    def running(self):
        wanted = Selection(states=RUNNING)
        with self._lifecycle.changed:
            return {task.id for task in self._lifecycle.store.select(wanted)}

    def standing(self, id):
        task = self._lifecycle.find(id)
        if task is None or task.state not in WAITING:
            return None
        ids, is_limited = self._line(task.queue, task.site_path)
        if id in ids:
            return Standing(before=ids.index(id), is_limited=is_limited)
        place = self._ask(lambda queues: queues.locks.place(id))
        if place is not None:
            before, holder = place
            return Standing(before=min(before, LOOKED_AHEAD + 1), holder=holder)
        if len(ids) > LOOKED_AHEAD:
            return Standing(before=len(ids), is_limited=is_limited)
        return None

    def _line(self, queue, site):
        """Return (ids, is_limited) of those that wait for a slot, the first ones."""

        def look(queues):
            jobs, is_limited = queues[queue].line(self._lifecycle, site)
            return [job.id for job in islice(jobs, LOOKED_AHEAD + 1)], is_limited

        return self._ask(look)

    @property
    def _ask(self):
        return self._lifecycle.executor.dispatcher.ask
