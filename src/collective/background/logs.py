"""What the log of the site says about tasks.

One line for each transition, for people and for programs: its fields are
attributes of the log record as well. Called by ``events.py``; not a subscriber,
so that a task that is lost is named whatever the subscribers of add-ons do.
"""

from collective.background import states
from zope.i18n import translate

import logging


logger = logging.getLogger(__name__)

LEVELS = {
    states.FAILED: logging.WARNING,
    states.CANCELLED: logging.WARNING,
    states.LOST: logging.WARNING,
}


def log_transition(record):
    """Log that a task has reached the state of its TaskRecord."""
    level = LEVELS.get(record.state, logging.INFO)
    if not logger.isEnabledFor(level):
        return
    title = translate(record.title)
    text = "task %s %r of %s in queue %s: %s"
    values = [
        record.id,
        title,
        record.user_id or "anonymous",
        record.queue,
        record.state,
    ]
    if record.wait_time is not None:
        text += ", waited %.3f s"
        values.append(record.wait_time)
    if record.run_time is not None:
        text += ", ran %.3f s"
        values.append(record.run_time)
    if record.error is not None:
        text += ": %s: %s"
        message = " ".join(record.error.message.split())  # it is to stay one line
        values += [record.error.type, message]
    logger.log(level, text, *values, extra=_fields(record, title))


def _fields(record, title):
    return {
        "task_id": record.id,
        "task_title": title,
        "task_queue": record.queue,
        "task_user": record.user_id,
        "task_site": record.site_path,
        "task_state": record.state,
        "task_wait_time": record.wait_time,
        "task_run_time": record.run_time,
        "task_error": record.error and record.error.type,
    }
