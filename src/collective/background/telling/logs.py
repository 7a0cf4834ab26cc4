"""What the log of the site says about tasks.

One line for each transition, for people and for programs: its fields are
attributes of the log record as well. And every line that is logged in a task has
the id of the task.
"""

from collective.background.model import states
from collective.background.model.messages import portable_line
from collective.background.model.trail import COMMAND
from collective.background.model.trail import last_intervention
from collective.background.model.trail import SHUTDOWN
from collective.background.model.trail import SYSTEM
from collective.background.model.trail import TIMEOUT
from collective.background.model.trail import USER
from collective.background.running.current import current_task
from zope.i18n import translate

import logging


# The documented name, for configurations of logging.
logger = logging.getLogger("collective.background.logs")

WHO = {
    COMMAND: "the operator at the command line",
    SHUTDOWN: "the shutdown",
    SYSTEM: "the system",
    TIMEOUT: "a timeout",
}
SHOWN_TITLE, SHOWN_ERROR = 200, 500  # characters; there are some lines of each task


def log_transition(record):
    """Log that a task has reached the state of its TaskRecord."""
    # One that runs again has still the error of the attempt before.
    error = None if record.state == states.RUNNING else record.error
    level = logging.INFO if error is None else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    title = translate(record.title)
    text = "task %s %r of %s in queue %s: %s"
    user = portable_line(record.user_id or "anonymous")
    shown = portable_line(title, SHOWN_TITLE)
    values = [record.id, shown, user, record.queue, record.state]
    by = last_intervention(record)
    if by is not None:
        text += " by %s"
        values.append(_who(by))
    if record.wait_time is not None:
        text += ", waited %.3f s"
        values.append(record.wait_time)
    if record.run_time is not None:
        text += ", ran %.3f s"
        values.append(record.run_time)
    if error is not None:
        text += ": error %s: %s: %s"
        # An error may have many lines, and this is to stay one.
        message = portable_line(error.message, SHOWN_ERROR)
        values += [error.id, error.type, message]
    line = logger.makeRecord(logger.name, level, __file__, 0, text, tuple(values), None)
    # Not as "extra" of logger.log(): that refuses what the factory has set.
    vars(line).update(_fields(record, title, error, by))
    logger.handle(line)


def _who(intervention):
    if intervention.by == USER:
        return portable_line(intervention.user_id or "anonymous")
    return WHO[intervention.by]


def _fields(record, title, error, by):
    return {
        "background_task": record.id,
        "background_title": title,
        "background_queue": record.queue,
        "background_user": record.user_id,
        "background_site": record.site_path,
        "background_state": record.state,
        "background_by": by and _who(by),
        "background_wait": record.wait_time,
        "background_run": record.run_time,
        "background_error": error and error.type,
        "background_error_id": error and error.id,
    }


def install(event):
    """Give every log record of the process an attribute ``background_task``.

    It is the id of the task in which it was logged, or "". Called when Zope
    starts. Whoever else has set a factory of log records is asked first.
    """
    make_record = logging.getLogRecordFactory()

    def make_record_with_task(*args, **kwargs):
        record = make_record(*args, **kwargs)
        task = current_task()
        record.background_task = "" if task is None else task.id
        return record

    logging.setLogRecordFactory(make_record_with_task)
