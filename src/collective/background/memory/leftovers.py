"""Leftovers: what had not ended when its process did, told by the next one.

Tasks in memory end with their process. So at its orderly end a process that serves
leaves a file in Zope's client home, which nobody else can read, and the next one that
begins to serve reads and removes it: their users find these tasks, as lost. Of their
arguments nothing is kept, so they cannot be tried again.
"""

from App.config import getConfiguration
from collective.background.capture.call import Call
from collective.background.capture.snapshot import Snapshot
from collective.background.capture.users import UserReference
from collective.background.exceptions import TaskLost
from collective.background.interfaces import ITransactionalScheduler
from collective.background.model import states
from collective.background.model.config import CELERY
from collective.background.model.options import Options
from collective.background.running.outcome import describe_error
from collective.background.scheduling.task import Task
from datetime import datetime
from pathlib import Path
from zope.component import getGlobalSiteManager
from zope.i18n import translate

import json
import logging
import os
import secrets


logger = logging.getLogger(__name__)

NAME = "background-lost-"  # and a token, as processes may share the folder
VERSION = 1  # of the file
PLAIN = (
    *("id", "kind", "callable", "queue", "priority", "user_id", "user_path"),
    *("site_path", "context_path", "context_uid"),
)
TIMES = ("created", "started", "finished")


def leave_word(lifecycle, tasks):
    """Write down what is lost with this process.

    ``lifecycle``: the Lifecycle of the ``tasks``, which its end has asked to stop. Of
    those that their users were not to see nothing is kept. A file that cannot be
    written is logged.
    """
    with lifecycle.changed:
        tasks = [
            _told(lifecycle.record(task))
            for task in tasks
            if task.state in (states.LOST, states.CANCELLED) and not task.dismissed
        ]
    if not tasks:
        return
    path = _folder() / f"{NAME}{secrets.token_hex(8)}.json"
    try:
        with open(path, "x", opener=_open_private) as file:
            json.dump({"version": VERSION, "tasks": tasks}, file)
    except OSError:
        logger.exception("what is lost with this process cannot be kept in %s", path)


def serving_begins(event):
    """Let the tasks be seen that processes before this one have lost."""
    if event.executor.settings.role == CELERY:
        return  # nobody looks there
    lifecycle = getGlobalSiteManager().getUtility(ITransactionalScheduler).lifecycle
    keep = lifecycle.settings.keep
    for told in _take_word():
        try:
            task = _restored(told, keep)
        except Exception:  # the process is to begin, whatever somebody has written
            logger.exception("a task that was lost cannot be told: %.200r", told)
        else:
            _remember(lifecycle, task)


def _folder():
    return Path(getConfiguration().clienthome)


def _open_private(path, flags):
    return os.open(path, flags, 0o600)


def _told(record):
    times = {name: getattr(record, name) for name in TIMES}
    return (
        {name: getattr(record, name) for name in PLAIN}
        | {name: time and time.isoformat() for name, time in times.items()}
        | {"title": translate(record.title)}
    )


def _take_word():
    """Return what other processes have left, and remove it: a list."""
    found = []
    for path in sorted(_folder().glob(f"{NAME}*.json")):
        own = path.with_suffix(f".{os.getpid()}")
        try:
            path.rename(own)
            text = own.read_text()
            own.unlink()
            word = json.loads(text)
            if word["version"] == VERSION:
                found += word["tasks"]
        except FileNotFoundError:
            pass  # whoever has begun at the same time is as good
        except (OSError, ValueError, TypeError, KeyError):
            logger.exception("%s cannot be read", path)
    return found


def _restored(told, keep):
    """Return a Task that was lost; it has nothing with which it could run again."""
    call = Call(
        kind=told["kind"],
        name=told["callable"],
        package=None,
        context_path=told["context_path"],
        context_uid=told["context_uid"],
    )
    user = UserReference(kind="user", id=told["user_id"], folder=told["user_path"])
    snapshot = Snapshot(site_path=told["site_path"], user=user, request=None)
    options = Options(
        title=told["title"], queue=told["queue"], priority=told["priority"]
    )
    task = Task(call, snapshot, None, options, keep)
    task.id = told["id"]
    for name in TIMES:
        time = told[name]
        setattr(task, name, time and datetime.fromisoformat(time))
    task.error = describe_error(TaskLost("the process has ended before the task had"))
    return task


def _remember(lifecycle, task):
    with lifecycle.changed:
        store = lifecycle.store
        store.keep(task)
        store.commit(task)
        store.set_state(task, states.LOST)
        lifecycle.forgetting.remember(store.note_end(task))
    lifecycle.forgetting.look()
