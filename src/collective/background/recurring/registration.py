"""Registrations: what an add-on says about a recurring task.

The decorator makes one when its module is imported, and keeps it here: a registry of
components may be emptied, as between the layers of tests, but a module is imported
once. ``directive.py`` makes them from ZCML, as named utilities for IRecurringTask.
"""

from collective.background.api.functions import TaskFunction
from collective.background.api.scheduling import using
from collective.background.capture.callables import check_call
from collective.background.capture.callables import dotted_name
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.interfaces import IRecurringTask
from collective.background.recurring.schedules import Cron
from collective.background.recurring.schedules import Every
from collective.background.recurring.schedules import make_schedule
from dataclasses import dataclass
from itertools import accumulate
from plone.base.utils import get_installer
from zope.component import getUtilitiesFor
from zope.interface import implementer

import sys


decorated = {}  # RecurringTasks of the decorator, by their names


@implementer(IRecurringTask)
@dataclass(frozen=True, kw_only=True)
class RecurringTask:
    """The one implementation of IRecurringTask.

    Raises BadOption or BadCall for what could not run.
    """

    name: str
    function: object
    schedule: Cron | Every
    user: str
    title: str | None = None
    queue: str | None = None
    add_on: str | None = None

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.strip():
            raise BadOption(
                f"name is {self.name!r}; a recurring task needs a text, which no "
                "other has"
            )
        if not isinstance(self.user, str) or not self.user:
            raise BadOption(
                f"user is {self.user!r}; a recurring task needs the id of the user "
                "that it runs as"
            )
        check_call(self.function, (), {})
        if "<" in self.callable:
            raise BadCall(
                f"{self.callable} has no name by which it can be found again: a "
                "recurring task has to be a function of a module"
            )
        using(**self._options)

    @property
    def _options(self):
        given = {"user": self.user, "title": self.title, "queue": self.queue}
        return {name: value for name, value in given.items() if value is not None}

    def start(self):
        """Schedule it, and return the task's id. Raises as ``schedule()``."""
        function = self._as_imported()
        if isinstance(function, TaskFunction):
            return function.using(**self._options).schedule()
        return using(**self._options).schedule(function)

    def _as_imported(self):
        """Return the function, with ``@task`` also if that stands above."""
        found = sys.modules.get(self.function.__module__)
        for name in self.function.__qualname__.split("."):
            found = getattr(found, name, None)
        is_wrapped = getattr(found, "__wrapped__", None) is self.function
        return found if is_wrapped else self.function

    @property
    def callable(self):
        """The dotted name of the function."""
        return dotted_name(self.function)

    def belongs_to(self, site):
        """Whether the site has the add-on of the task."""
        # "my", "my.addon" and "my.addon.tasks" for "my.addon.tasks.tidy".
        steps = self.callable.split(".")[:-1]
        packages = accumulate(steps, "{}.{}".format)
        installer = get_installer(site)
        return any(
            installer.is_product_installed(package)
            for package in ([self.add_on] if self.add_on else packages)
        )


def recurring(schedule, *, user=None, name=None, title=None, queue=None, add_on=None):
    """Let the decorated function run again and again.

    - ``schedule``: a cron expression, in the time zone of the site, or a timedelta
    - ``user``: the id of the user to run as
    - ``name``: unique; the dotted name of the function unless it is given
    - ``title`` and ``queue``: as in ``using()``; for more options, decorate the
      function with ``@task`` as well
    - ``add_on``: run in the sites that have this add-on; without it, in those
      that have the add-on whose package the function is in

    The function takes no arguments, and stays what it is. As it is registered
    when its module is imported, the add-on's ZCML has to import the module; that
    somebody else does has no effect as long as no site has the add-on.
    Raises BadOption, BadCall.
    """
    schedule = make_schedule(schedule)

    def register(function):
        task = RecurringTask(
            name=dotted_name(function) if name is None else name,
            function=function,
            schedule=schedule,
            user=user,
            title=title,
            queue=queue,
            add_on=add_on,
        )
        existing = decorated.get(task.name)
        if existing is not None and existing.callable != task.callable:
            raise BadOption(
                f"there is a recurring task {task.name!r} already: {existing.callable}"
            )
        decorated[task.name] = task
        return function

    return register


def registered():
    """Return all registrations, sorted by their names; those of ZCML win."""
    tasks = {**decorated, **dict(getUtilitiesFor(IRecurringTask))}
    return [tasks[name] for name in sorted(tasks)]
