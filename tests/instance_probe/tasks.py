"""What the tests let run in the background of a real instance."""

from collective.background import current_task
from collective.background import recurring
from collective.background.exceptions import TaskCancelled
from datetime import timedelta
from fcntl import flock
from fcntl import LOCK_EX
from fcntl import LOCK_NB
from instance_probe.faults import reach
from instance_probe.faults import watch_commit
from plone import api
from threading import Event
from threading import Lock
from threading import Thread
from time import time

import logging
import os
import signal
import sys


logger = logging.getLogger(__name__)

FIRST_LATE_ITEM = 3

_lock = Lock()
_overlapping = set()


def write(context, mark):
    """Leave a mark in the database, and count how often it was left."""
    marks = api.portal.get().marks
    marks[mark] = marks.get(mark, 0) + 1


def create(context, mark):
    """Leave a mark, and create content with this title."""
    watch_commit("task")
    write(context, mark)
    api.content.create(context, "Document", title=mark)
    reach("running")


def carry(file, plain, mark):
    """Leave a mark that says what has arrived; return the file."""
    path = "/".join(plain.getPhysicalPath())
    write(plain, f"{file.filename} {len(file.data)} {path}")
    return file


def create_if_allowed(context, mark):
    """Do the same, if another task has left the mark "allowed"; fail if not."""
    if "allowed" not in api.portal.get().marks:
        raise LookupError("it was not allowed")
    create(context, mark)


def fail_always(context, mark):
    raise LookupError("it cannot be done")


def create_later(context, mark):
    """Do it as soon as there is a file, whose path is the mark."""
    logger.info("%s has begun", mark)
    while not os.path.exists(mark):
        Event().wait(0.01)
    create(context, mark)


def create_unless_cancelled(context, mark):
    """Do the same, and look meanwhile whether the task is cancelled."""
    _wait_for_file(mark)
    create(context, mark)


def write_item(item, context, mark):
    """Leave a mark for an item of a batch."""
    write(context, f"{mark} {item}")
    reach(f"item-{item}")


def write_item_later(item, context, mark):
    """Do the same; from the fourth item on as soon as there is a file.

    Its path is the mark.
    """
    if item >= FIRST_LATE_ITEM:
        _wait_for_file(mark)
    write_item(item, context, mark)


def _wait_for_file(path):
    """Wait until there is a file, or the task is cancelled."""
    logger.info("%s has begun", path)
    while not os.path.exists(path):
        current_task().check_cancelled()
        Event().wait(0.01)


def append(context, mark):
    """Add lines to a file, whose path is the mark, until the task is cancelled."""
    logger.info("%s has begun", mark)
    with open(mark, "a", buffering=1) as file:
        while True:
            current_task().check_cancelled()
            file.write(f"{os.getpid()}\n")
            Event().wait(0.01)


def die(context, mark):
    """Take the process along, as a crash of a library in C does."""
    os.kill(os.getpid(), signal.SIGKILL)


def answer(context, mark):
    """Return the mark."""
    return mark


def fail_first(context, mark):
    """Leave a mark, which is the path of a file; fail then if there is none yet."""
    write(context, mark)
    if not os.path.exists(mark):
        open(mark, "x").close()
        raise ValueError("not yet")


def leave(context, mark):
    """Raise what ends a process, or a thread."""
    raise SystemExit(mark)


def surroundings(context, mark):
    """Return where, and as whom, it runs."""
    return {
        "user": api.user.get_current().getId(),
        "url": context.absolute_url(),
        "site": "/".join(api.portal.get().getPhysicalPath()),
        "manages": api.user.has_permission("Manage portal", obj=context),
    }


def write_log_id(context, mark):
    """Leave a mark with the task that a log record names."""
    write(context, f"{mark} {logging.makeLogRecord({}).background_task}")


def overlap(context, mark):
    """Return how many tasks of this kind run in the process, this one among them."""
    token = object()
    with _lock:
        _overlapping.add(token)
        number = len(_overlapping)
    Event().wait(0.02)
    with _lock:
        _overlapping.remove(token)
    return number


def exclude(context, mark):
    """Add a line to a file, whose path is the mark; fail if another one does so now."""
    logger.info("%s has begun", mark)
    with open(mark, "a") as file:
        flock(file, LOCK_EX | LOCK_NB)  # given up with the process
        Event().wait(0.02)
        file.write("done\n")


def cooperate(context, mark):
    """Work until the task is cancelled."""
    logger.info("%s has begun", mark)
    while True:
        current_task().check_cancelled()
        Event().wait(0.01)


def finish(context, mark):
    """Work until the task is cancelled, and then bring it to a good end."""
    try:
        cooperate(context, mark)
    except TaskCancelled:
        write(context, mark)


def hang(context, mark):
    """Do not look whether the task is cancelled."""
    logger.info("%s has begun", mark)
    Event().wait()


def compute(context, mark):
    """Keep a core busy until the task is cancelled."""
    logger.info("%s has begun", mark)
    while True:
        current_task().check_cancelled()
        sum(range(10_000))


def nothing(context):
    """The smallest task."""


def now(context):
    """Return when it runs, in seconds of the machine's clock."""
    return time()


def boast(context, text):
    """Say a text wherever a task may say something; fail with it, if it is long."""
    task = current_task()
    for _ in range(20):
        task.message(text)
    task.progress(1, 2, text)
    task.title = text
    if len(text) > 1:
        raise ValueError(text)


TASKS = (
    write,
    create,
    create_if_allowed,
    fail_always,
    create_later,
    create_unless_cancelled,
    exclude,
    append,
    die,
    answer,
    fail_first,
    leave,
    surroundings,
    write_log_id,
    overlap,
    cooperate,
    finish,
    hang,
)
ITEM_TASKS = (write_item, write_item_later)


def beat():
    """A recurring task, where the process is told to have one."""


def tell_of_threads():
    """Log the name of each thread that is started from now on."""
    start = Thread.start

    def tell_and_start(thread):
        sys.stderr.write(f"the thread {thread.name} begins\n")
        start(thread)

    Thread.start = tell_and_start


if "PROBE_THREADS" in os.environ:
    tell_of_threads()


if "PROBE_HEART" in os.environ:
    recurring(
        timedelta(seconds=1),
        user="admin",
        title="heart",
        add_on="collective.background",
    )(beat)
