"""Dropping: what is done with what is at the broker, and no message of ours.

Whoever reaches the broker may leave there what he likes. Some of it would end a worker
of Celery, after that has put it back, which ends the next one, too; some of it would
take one of its slots for ever. So what is not as this package sends it is dropped, with
a line in the log (see ``consumer`` and ``requests``, too).

Celery has hooks for that: the class of the consumer (its setting ``worker_consumer``),
and the names of transports: those for Redis read JSON before the consumer sees it.
"""

from kombu.exceptions import ContentDisallowed
from kombu.exceptions import DecodeError
from kombu.transport import redis
from redis.exceptions import DataError

import logging
import zlib


logger = logging.getLogger(__name__)

MALFORMED = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError, zlib.error),
    *(ContentDisallowed, DataError, DecodeError),
)


class DroppingTransport(redis.Transport):
    """Reads from Redis. What it cannot read is not there any more."""

    def on_readable(self, fileno):
        try:
            super().on_readable(fileno)
        except MALFORMED as error:
            dropped(error)


def dropped(error):
    """Log it, without the text of the error, in which there may be anything."""
    kind = type(error).__name__
    logger.warning("a message of the broker is ignored: malformed (%s)", kind)
