"""Sending: how a message gets to the broker, or is known not to have got there.

One connection, for the thread of the relay.
"""

from collective.background.celery.app import app
from collective.background.celery.messages import broker_queue
from collective.background.celery.messages import Message
from collective.background.celery.messages import TASK
from collective.background.exceptions import BadMessage
from collective.background.model.brokers import is_redis
from kombu.exceptions import EncodeError
from math import inf

import struct


# Seconds after which nobody has to read it any more. Not sooner, as clocks of machines
# may differ; an older one does no harm.
EXPIRES = 86_400
SENDING = 10.0  # seconds until the broker has to have a message
# Of who sends: a worker may wait for messages as long as it likes.
TIMEOUTS = {"socket_timeout": SENDING, "socket_connect_timeout": 5.0}
# Raised while a message is made, and never by a connection.
UNSENDABLE = (EncodeError, OverflowError, UnicodeError, struct.error)


def connection_to(url, **options):
    """Return a connection by which messages are sent, which is not open so far.

    ``url``: of the broker. It is not waited for without end, and says what it has got.
    ``options``: further ones of the transport.
    """
    usual = TIMEOUTS if is_redis(url) else {"confirm_publish": True}
    return app.connection_for_write(url, transport_options={**usual, **options})


def post(connection, name, payload, **options):
    """Send a message by a connection, or raise what its library does.

    Raises BadMessage if there can be none of these values, whatever the broker does.

    ``name``: of the task of Celery; ``payload``: its one argument, what JSON knows;
    ``options``: those of ``send_task()``.
    """
    try:
        app.send_task(
            name,
            args=(payload,),
            connection=connection,
            ignore_result=True,
            # RabbitMQ takes nothing, and says so to nobody, while its memory is full.
            timeout=SENDING,
            confirm_timeout=SENDING,
            retry=False,
            **options,
        )
    except UNSENDABLE as error:
        raise BadMessage(f"no message can be made of it: {error}") from error
    except Exception:
        # Nor does it answer to a farewell then: this says none.
        connection.collect()
        raise


class Sender:
    """``settings``: of the process."""

    def __init__(self, settings):
        self._settings = settings
        self._connection = None

    def connect(self):
        """Connect to the broker anew. Raises what its library does if it is away."""
        self.close()
        url = self._settings.celery_broker
        connection = connection_to(url)
        connection.ensure_connection(max_retries=len(connection.alt))
        self._connection = connection

    def send(self, parcel):
        """Send a Parcel. Raises as ``connect``, and may have sent it all the same.

        Raises BadMessage if there can be no message of it.
        """
        claim = parcel.held.claim
        message = Message(
            deployment=self._settings.deployment,
            database=claim.database_name,
            scheduler=parcel.feeder.oid.hex(),
            site=parcel.feeder.path,
            task=claim.id,
            oid=claim.oid.hex(),
            fence=claim.fence,
        )
        limit = None if parcel.hard_timeout == inf else parcel.hard_timeout
        post(
            self._connection,
            TASK,
            message.payload(),
            task_id=f"{claim.id}.{claim.fence}",
            queue=broker_queue(parcel.held.queue),
            expires=EXPIRES,
            time_limit=limit,
            shadow=parcel.title,
        )

    def close(self):
        """Give the connection up, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()
