"""What a worker of Celery does with a message: it runs the task that it names.

If that is still to be run, and by it: the database decides, see ``database/taking.py``.
In the thread in which Celery calls it, until the task has ended.

Comes in: what the broker has, whoever has sent it. Goes out: the end of the task, left
at the feeder of its site; or a line in the log.
"""

from billiard import current_process
from collective.background.celery.app import app
from collective.background.celery.messages import parse
from collective.background.celery.messages import TASK
from collective.background.celery.requests import WellFormed
from collective.background.database.outbox import current_watch
from collective.background.exceptions import BadMessage
from collective.background.executing.executor import process_executor
from contextlib import contextmanager

import logging
import signal


logger = logging.getLogger(__name__)


@app.task(name=TASK, ignore_result=True, Request=WellFormed)
def run(*args, **kwargs):
    """Run the task that a message names; ``args``: its payload, see ``messages``."""
    try:
        message = parse(args[0] if len(args) == 1 and not kwargs else None)
    except BadMessage as error:
        logger.warning("a message of the broker is ignored: %s", error)
        return
    refusal = _run(message)
    if refusal is not None:
        logger.info(
            "the task %s of %s is not run at this message: %s",
            *(message.task, message.site, refusal),
        )


def _run(message):
    """Return None once the task has ended, or why it does not run here, a text."""
    settings = process_executor().settings
    if message.deployment != settings.deployment:
        return (
            f"it is of the deployment {message.deployment!r}, and this process of "
            f"{settings.deployment!r}"
        )
    watch = current_watch()
    if watch is None:
        return "this process does not serve"
    scheduler, oid = map(bytes.fromhex, (message.scheduler, message.oid))
    feeder = watch.find_feeder(message.database, scheduler, settings.lease)
    if feeder is None:
        return "there is no site that has such tasks"
    with ended_at_once():
        return feeder.taking.run(message.task, oid, message.fence, settings.lease)


@contextmanager
def ended_at_once():
    """Within a ``with`` block, the signal to end this child ends it at once.

    For that Celery raises SystemExit, which the code of a task, or a commit, may catch;
    then it would go on half-way. What a process leaves that just ends is known: others
    see to it.
    """
    if current_process().name == "MainProcess":
        yield  # not a child
        return
    usual = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
