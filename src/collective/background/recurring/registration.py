"""Registrations: what an add-on says about a recurring task.

They are named utilities for IRecurringTask. The decorator makes one when its
module is imported; ``directive.py`` makes them from ZCML.
"""

from collections.abc import Callable
from collective.background.api.functions import TaskFunction
from collective.background.api.scheduling import using
from collective.background.capture.call import check_call
from collective.background.capture.call import dotted_name
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.interfaces import IRecurringTask
from collective.background.recurring.schedules import Cron
from collective.background.recurring.schedules import Every
from collective.background.recurring.schedules import make_schedule
from dataclasses import dataclass
from dataclasses import field
from functools import partial
from itertools import accumulate
from plone.base.utils import get_installer
from zope.component import getUtilitiesFor
from zope.component import globalSiteManager
from zope.interface import implementer


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
    start: Callable = field(init=False, repr=False, compare=False)

    def __post_init__(self):
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
        object.__setattr__(self, "start", self._make_start())

    def _make_start(self):
        given = {"user": self.user, "title": self.title, "queue": self.queue}
        options = {name: value for name, value in given.items() if value is not None}
        if isinstance(self.function, TaskFunction):
            return self.function.using(**options).schedule
        return partial(using(**options).schedule, self.function)

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
      function with ``@task`` as well, below this decorator
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
        # A module is imported once: not in the registry of a test layer, which
        # is gone when the next layer comes.
        existing = globalSiteManager.queryUtility(IRecurringTask, task.name)
        if existing is not None and existing.callable != task.callable:
            raise BadOption(
                f"there is a recurring task {task.name!r} already: {existing.callable}"
            )
        globalSiteManager.registerUtility(task, IRecurringTask, task.name)
        return function

    return register


def registered():
    """Return all registrations, sorted by their names."""
    return [task for _, task in sorted(getUtilitiesFor(IRecurringTask))]
