"""Standing still: tasks of a site that belongs to another deployment wait.

Whether it does is looked at in the thread of a task that is about to begin: who commits
cannot read the database. The others of its site then follow it without a thread, and
all go on once the dispatcher's thread has seen that the site was adopted.
"""

from collective.background.environment.sites import stored_site
from collective.background.executing.deployment import works_for
from collective.background.model.outages import is_outage
from collective.background.telling.troubles import Troubles
from time import monotonic
from transaction.interfaces import TransientError

import logging


logger = logging.getLogger(__name__)

PAUSE = 5.0  # seconds between two looks at a site whose tasks wait


class Standstill:
    """``lifecycle``: the Lifecycle of the tasks."""

    def __init__(self, lifecycle):
        self._lifecycle = lifecycle
        self._waiting = {}  # tasks by their ids, by database and path of their site
        self._troubles = Troubles(logger)

    def takes(self, task):
        """Let a task wait as others of its site do; return whether they do.

        Called under the lock.
        """
        waiting = self._waiting.get(_place_of(task))
        if waiting is None:
            return False
        waiting[task.id] = task
        return True

    def stops(self, task):
        """Let a task wait if nothing runs for its site; return whether it has to.

        Called in its thread, before it begins, and not under the lock.
        """
        place = _place_of(task)
        if self._may_go_on(*place):
            return False
        with self._lifecycle.changed:
            self._waiting.setdefault(place, {})[task.id] = task
        self._look_again()
        return True

    def look(self):
        """Let those go on that may; called by the dispatcher's thread."""
        with self._lifecycle.changed:
            places = list(self._waiting)
        for place in places:
            if self._may_go_on(*place):
                with self._lifecycle.changed:
                    tasks = self._waiting.pop(place)
                for task in tasks.values():
                    self._lifecycle.threads.start(task)
        with self._lifecycle.changed:
            self._forget_ended()
        self._look_again()

    def _look_again(self):
        with self._lifecycle.changed:
            if not self._waiting or self._lifecycle.is_stopping:
                return
        dispatcher = self._lifecycle.executor.dispatcher
        dispatcher.remind(self, monotonic() + PAUSE, self.look)
        dispatcher.wake_up()

    def _forget_ended(self):
        for place, tasks in list(self._waiting.items()):
            for task in list(tasks.values()):
                if not self._lifecycle.unfinished.is_waiting(task):
                    del tasks[task.id]
            if not tasks:
                del self._waiting[place]

    def _may_go_on(self, database, path):
        if database is None or path is None:
            return True
        what = f"tasks of {path} wait, as the site cannot be looked at"
        try:
            with stored_site(database, path) as site:
                deployment = self._lifecycle.settings.deployment
                may_go_on = site is None or works_for(site, path, deployment)
        except Exception as error:
            if not (isinstance(error, TransientError) or is_outage(error)):
                # As if it is gone: the task itself has to say so.
                logger.debug("the site %s cannot be opened", path, exc_info=True)
                return True
            self._troubles.tell(what, error)
            return False
        self._troubles.is_over(what)
        return may_go_on


def _place_of(task):
    return task.database, task.snapshot.site_path
