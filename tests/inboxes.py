"""What other applications of Celery get: messages, taken from a broker in memory."""

from dataclasses import dataclass
from helpers import TIMEOUT
from kombu import Connection


@dataclass
class Ticket:
    """A message for a task: ``headers``, and what a worker needs of it."""

    id: str
    task: str
    args: list
    url: str
    token: str
    headers: dict
    number: int = 0  # of the last report


class Inbox:
    """``queue``: the name of the one from which the application takes messages."""

    def __init__(self, queue):
        self._queue = queue
        with self._connection() as connection, self._open(connection) as queue:
            queue.clear()  # of another test

    def _connection(self):
        return Connection("memory://", transport_options={"polling_interval": 0.01})

    def _open(self, connection):
        return connection.SimpleQueue(self._queue)

    def get(self, id):
        """Return the Ticket of the next message, which is for a task."""
        with self._connection() as connection, self._open(connection) as queue:
            message = queue.get(timeout=TIMEOUT)
            message.ack()
        told = message.headers["background"]
        assert told["url"].endswith(f"/@tasks/{id}")
        return Ticket(
            id=id,
            task=message.headers["task"],
            args=message.payload[0],
            headers=message.headers,
            **told,
        )
