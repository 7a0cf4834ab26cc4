"""An add-on for the tests of a whole instance: tasks, and views to start them."""

from collective.background import current_task
from collective.background import recurring
from collective.background import using
from collective.background.exceptions import TaskCancelled
from datetime import timedelta
from persistent.list import PersistentList
from Products.Five import BrowserView
from threading import Event

import json
import logging
import os
import sys


logger = logging.getLogger(__name__)


def write(site, mark):
    """Leave a mark in the database."""
    if not hasattr(site, "marks"):
        site.marks = PersistentList()
    site.marks.append(mark)


def write_log_id(site, mark):
    """Leave a mark with the task that a log record names."""
    write(site, f"{mark} {logging.makeLogRecord({}).background_task}")


def cooperate(site, mark):
    """Work until the task is cancelled."""
    logger.info("%s has begun", mark)
    while True:
        current_task().check_cancelled()
        Event().wait(0.01)


def finish(site, mark):
    """Work until the task is cancelled, and then bring it to a good end."""
    try:
        cooperate(site, mark)
    except TaskCancelled:
        write(site, mark)


def hang(site, mark):
    """Do not look whether the task is cancelled."""
    logger.info("%s has begun", mark)
    Event().wait()


TASKS = (write, write_log_id, cooperate, finish, hang)


def beat():
    """A recurring task, where the process is told to have one."""


if "PROBE_HEART" in os.environ:
    recurring(
        timedelta(seconds=1),
        user="admin",
        title="heart",
        add_on="collective.background",
    )(beat)


class Start(BrowserView):
    """Schedules one of the tasks above; ``mark`` is its title as well."""

    def __call__(self, task, mark):
        function = {f.__name__: f for f in TASKS}[task]
        return using(title=mark).schedule(function, self.context, mark)


class Marks(BrowserView):
    """What the tasks have left in the database, as JSON."""

    def __call__(self):
        return json.dumps(list(getattr(self.context, "marks", ())))


class Modules(BrowserView):
    """The names of the modules that the process has imported, as JSON."""

    def __call__(self):
        return json.dumps(sorted(sys.modules))
