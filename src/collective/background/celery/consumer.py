"""The consumer of a worker: it drops what Celery cannot make a task of."""

from celery.worker.consumer import Consumer
from collective.background.celery.dropping import dropped
from collective.background.celery.dropping import MALFORMED

import logging


logger = logging.getLogger(__name__)


class DroppingConsumer(Consumer):
    """It does not listen to other workers, of which it need not know."""

    def __init__(self, *args, worker_options=None, **kwargs):
        alone = {"without_gossip": True, "without_mingle": True}
        options = {**(worker_options or {}), **alone}
        super().__init__(*args, worker_options=options, **kwargs)

    def create_task_handler(self, *args, **kwargs):
        take = super().create_task_handler(*args, **kwargs)

        def take_or_drop(message):
            try:
                take(message)
            except MALFORMED as error:
                self.on_decode_error(message, error)

        return take_or_drop

    def on_decode_error(self, message, exc):
        dropped(exc)
        if not message.acknowledged:
            message.ack_log_error(logger, self.connection_errors)
