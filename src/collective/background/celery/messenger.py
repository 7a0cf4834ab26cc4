"""The messenger: external tasks, as messages to the applications that have them.

Nothing of Celery is imported before the first one is sent.
"""

from collective.background.exceptions import NotSent
from collective.background.executing.executor import process_executor
from collective.background.interfaces import IMessenger
from collective.background.model.messages import portable_line
from zope.interface import implementer


# The task is tried again, so its thread need not.
ONE_TRY = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.0}


@implementer(IMessenger)
class Messenger:
    """Uses the broker of the settings."""

    def send(self, message):
        broker = process_executor().settings.celery_broker
        if broker is None:  # Celery would look for one on this machine
            raise NotSent("celery_broker is not set in the process that is to send it")
        from collective.background.celery.sending import connection_to
        from collective.background.celery.sending import post
        from kombu.exceptions import OperationalError

        with connection_to(broker, **ONE_TRY) as connection:
            try:
                post(
                    connection,
                    message.name,
                    message.payload,
                    queue=message.queue,
                    headers=message.headers,
                    shadow=portable_line(message.title),
                    expires=message.expires,
                )
            except (
                OperationalError,
                *connection.connection_errors,
                *connection.recoverable_connection_errors,
                *connection.channel_errors,
            ) as error:
                # Without its text, which may have the address and its password.
                kind = type(error.__cause__ or error).__name__
                raise NotSent(
                    f"the broker does not take the message ({kind})"
                ) from None
