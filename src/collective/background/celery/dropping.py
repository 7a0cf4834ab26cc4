"""Dropping: what is done with what is at the broker, and no message of ours.

Whoever reaches the broker may leave there what he likes. Some of it would end a worker
of Celery, after that has put it back, which ends the next one, too; some of it would
take one of its slots for ever. So what is not as this package sends it is dropped, with
a line in the log (see ``requests``, too).

Celery has hooks for that: the class of the consumer (its setting ``worker_consumer``),
and the names of transports: those for Redis read JSON before the consumer sees it.
"""

from celery.worker.consumer import Consumer
from kombu.exceptions import ContentDisallowed
from kombu.exceptions import DecodeError
from kombu.transport import redis
from kombu.transport import TRANSPORT_ALIASES
from redis.exceptions import DataError

import logging
import zlib


logger = logging.getLogger(__name__)

MALFORMED = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError, zlib.error),
    *(ContentDisallowed, DataError, DecodeError),
)


class DroppingConsumer(Consumer):
    """Takes messages, and drops what Celery cannot make a task of.

    It does not listen to other workers, of which it need not know.
    """

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
        _log(exc)
        if not message.acknowledged:
            message.ack_log_error(logger, self.connection_errors)


class DroppingTransport(redis.Transport):
    """Reads from Redis. What it cannot read is not there any more."""

    def on_readable(self, fileno):
        try:
            super().on_readable(fileno)
        except MALFORMED as error:
            _log(error)


def drop_what_is_no_message():
    """Called in a worker, before it connects to the broker."""
    name = f"{__name__}:{DroppingTransport.__name__}"
    TRANSPORT_ALIASES.update(redis=name, rediss=name)


def _log(error):
    """Without its text, in which there may be anything."""
    kind = type(error).__name__
    logger.warning("a message of the broker is ignored: malformed (%s)", kind)
