"""Running a worker of Celery in this process, to its end."""

from celery import signals
from collective.background.celery.app import app
from collective.background.celery.messages import broker_queue
from collective.background.exceptions import BadOption

import logging
import os


# "Task ... received", and "succeeded".
TOLD_OTHERWISE = ("celery.worker.strategy", "celery.app.trace")


def run_worker(settings, options, queues):
    """Run a worker until a signal ends it; return whether it has ended in order.

    ``settings``: of the process; ``options``: of ``celery worker``, a list of texts;
    ``queues``: the names of those that it serves, None: all that go to Celery. Raises
    BadOption for a name that is none of these.
    """
    known = settings.queues_of_celery
    for name in queues or ():
        if name not in known:
            raise BadOption(
                f"--queues: the queue {name!r} is none of those that go to Celery, "
                f"which are: {', '.join(sorted(known))}"
            )
    if "--hostname" not in options:
        # RabbitMQ does not let two workers have the same name.
        options = [*options, "--hostname", f"background-{os.getpid()}@%h"]
    if queues:
        options = [*options, "--queues", ",".join(map(broker_queue, queues))]
    workers = []

    def worker_begins(sender, **kwargs):
        workers.append(sender)

    signals.setup_logging.connect(_leave_logging_alone)
    _be_brief()
    signals.worker_init.connect(worker_begins)
    app.start(["worker", "--loglevel", "INFO", *options])  # keeps to itself how it ends
    return not any(worker.exitcode for worker in workers)


def _leave_logging_alone(**kwargs):
    """Celery sets up no logging of its own if somebody listens."""


def _be_brief():
    """What becomes of each task is told by this package, and need not be told twice.

    Unless somebody has set up these loggers.
    """
    for logger in map(logging.getLogger, TOLD_OTHERWISE):
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
