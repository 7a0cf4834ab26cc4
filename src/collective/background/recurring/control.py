"""What people can do with the recurring tasks of the current site.

For trusted code: whoever calls this checks that the user may.
"""

from collective.background.exceptions import TaskNotFound
from collective.background.executing.clock import clock_of
from collective.background.recurring.registration import registered
from collective.background.recurring.state import find_state
from collective.background.recurring.state import get_state
from collective.background.recurring.state import get_states
from collective.background.recurring.ticks import time_zone
from collective.background.recurring.ticks import unfinished
from dataclasses import dataclass
from datetime import datetime
from plone import api


@dataclass(frozen=True, kw_only=True, slots=True)
class RecurringStatus:
    """A recurring task in a site.

    - ``schedule``: the cron expression, or "every 0:15:00"
    - ``last`` and ``next``: aware UTC datetimes. None: was not started yet; will
      not be, as it is switched off
    - ``task_id``: the id of the last task, which may be forgotten meanwhile
    """

    name: str
    title: str
    schedule: str
    user: str
    enabled: bool
    last: datetime | None
    next: datetime | None
    task_id: str | None


def listing():
    """Return a list of RecurringStatus, sorted by name. Writes nothing."""
    return [_status(task) for task in _tasks().values()]


def run_now(name):
    """Start the task, also if it is switched off, and return the id of what runs.

    It runs when the current transaction commits, as the user it was registered
    with. If it has not ended since it was last started, it is not started again:
    the id is of the one that runs. Raises TaskNotFound, and as ``schedule()``.
    """
    task = _find(name)
    now = _now()
    state = get_state(api.portal.get(), name, now)
    running = unfinished(state)
    if running is not None:
        return running
    state.started(task.start(), now)
    return state.task_id


def switch(name, enabled):
    """Switch the task on or off in this site.

    The ticks that it has missed while it was off are not made up for.
    Raises TaskNotFound.
    """
    _find(name)
    now = _now()
    state = get_state(api.portal.get(), name, now)
    if state.enabled != bool(enabled):
        state.enabled = bool(enabled)
        state.done = now


def switch_off_all(site):
    """Switch all recurring tasks of a site off, also those whose code is not here."""
    now = clock_of(site._p_jar.db()).now()
    for name in enabled_names(site):
        get_state(site, name, now).enabled = False


def enabled_names(site):
    """Return the names of those that are not switched off, also if no code is here."""
    names = {task.name for task in registered() if task.belongs_to(site)}
    off = {name for name, state in get_states(site).items() if not state.enabled}
    return names.union(get_states(site)) - off


def _now():
    return clock_of(api.portal.get()._p_jar.db()).now()


def _tasks():
    site = api.portal.get()
    return {task.name: task for task in registered() if task.belongs_to(site)}


def _find(name):
    tasks = _tasks()
    if name not in tasks:
        raise TaskNotFound(
            f"there is no recurring task {name!r} in this site; there are: "
            + (", ".join(tasks) or "none")
        )
    return tasks[name]


def _status(task):
    state = find_state(api.portal.get(), task.name)
    done = _now() if state is None else state.done
    enabled = state is None or state.enabled
    return RecurringStatus(
        name=task.name,
        title=task.title or task.name,
        schedule=str(task.schedule),
        user=task.user,
        enabled=enabled,
        last=state and state.last,
        next=task.schedule.next(done, time_zone()) if enabled else None,
        task_id=state and state.task_id,
    )
