"""Booting: how a process of Celery comes to execute tasks, and how it ends.

With prefork each child is an instance of the cluster, which opens the database after
the fork; with threads the one process is. Comes in: the signals of Celery. Goes out: a
process that serves, in the role ``celery``.
"""

from celery import signals
from celery.concurrency import get_implementation
from celery.concurrency import prefork
from celery.concurrency import solo
from celery.concurrency import thread
from collective.background.celery.app import app
from collective.background.celery.messages import broker_queue
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import process_executor
from collective.background.executing.serving import is_serving
from collective.background.executing.serving import serve
from collective.background.executing.starting import close_databases
from collective.background.executing.starting import configure
from collective.background.executing.starting import ROLE
from collective.background.executing.starting import start
from collective.background.model.brokers import is_redis
from collective.background.model.config import CELERY
from collective.background.model.loading import load_settings
from threading import Event

import logging
import os


logger = logging.getLogger(__name__)

PAUSE = 5.0  # seconds until a process that cannot boot ends; then Celery begins another


@signals.worker_init.connect
def worker_begins(sender, **kwargs):
    """The main process of a worker begins. Raises SystemExit if it cannot work."""
    broker = load_settings().celery_broker
    if broker is None or app.conf.broker_read_url != broker:
        raise SystemExit(
            "this worker would listen to another broker than celery_broker says; set "
            "that, and no CELERY_BROKER_URL in the environment, which wins"
        )
    pool = get_implementation(sender.pool_cls)
    if issubclass(pool, thread.TaskPool):
        _boot(sender.concurrency)
    elif issubclass(pool, prefork.TaskPool):
        # No message waits here while another worker has a slot. Celery knows that of
        # Redis only; with threads each task would wait for a second then.
        app.conf.worker_disable_prefetch = is_redis(broker)
    elif not issubclass(pool, solo.TaskPool):
        raise SystemExit(f"tasks of Zope need --pool prefork or threads, not {pool}")


@signals.worker_process_init.connect
def process_begins(**kwargs):
    """A process that runs one task at a time begins. Raises as ``worker_begins``."""
    _boot(1)


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def process_ends(**kwargs):
    """What ran here has ended."""
    if is_serving():
        executor = process_executor()
        executor.drain(Deadline(executor.settings.drain_timeout))
        close_databases()


def _boot(slots):
    """Start Zope, and serve. ``slots``: how many tasks run here at once."""
    os.environ[ROLE] = CELERY  # whatever zope.conf says
    try:
        start(configure().prepare)
        executor = process_executor()
        executor.slots = dict.fromkeys(_queues(executor.settings), slots)
        serve()
    except BaseException:
        logger.exception("this process cannot execute tasks of Zope, and ends")
        Event().wait(PAUSE)
        # An exception would be logged by Celery, which would send tasks all the same.
        raise SystemExit(1) from None


def _queues(settings):
    """Return the names of the queues from which this process gets tasks, a list."""
    consumed = app.amqp.queues.consume_from
    return [
        name
        for name in sorted(settings.queues_of_celery)
        if broker_queue(name) in consumed
    ]
