"""The command ``celery-worker``: a worker of Celery that executes tasks of Zope.

A thin layer over ``celery -A collective.background.celery.app worker``: it reads
``zope.conf``, for the broker and the environment, and hands the rest on.
"""

from collective.background.command.worker import apply_environment
from collective.background.command.worker import begin_log
from collective.background.exceptions import BadOption
from collective.background.executing.starting import configure
from collective.background.executing.starting import VARIABLE
from collective.background.model.loading import load_settings
from pathlib import Path

import os


# Options of Celery that are handed on as they are, by the names of arguments.
HANDED_ON = (
    "concurrency",
    "pool",
    "hostname",
    "max_tasks_per_child",
    "max_memory_per_child",
)


def work(arguments):
    """Run a worker of Celery to its end; return whether all was fine.

    Raises Unreachable; BadOption for configuration that cannot be used.
    """
    begin_log(arguments.logging)
    before = dict(os.environ)
    path = arguments.zope_conf or arguments.config
    if path is not None:
        os.environ[VARIABLE] = str(Path(path).absolute())  # for its children
    starter = configure()
    apply_environment(starter.cfg.environment, before)
    settings = load_settings()
    if settings.celery_broker is None:
        raise BadOption(
            "celery_broker is not set, so there is nothing to work for; set it in "
            "zope.conf, or BACKGROUND_CELERY_BROKER in the environment"
        )
    # Not before: without a broker nothing of Celery is imported.
    from collective.background.celery.program import run_worker

    return run_worker(settings, options_of(arguments), arguments.queues)


def options_of(arguments):
    """Return the options of Celery that were given, a list of texts."""
    given = {name: getattr(arguments, name) for name in HANDED_ON}
    options = [
        text
        for name, value in given.items()
        if value is not None
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    return [*options, *["--task-events"] * arguments.task_events]
