"""Messages: what a worker of Celery gets of a task that is reserved for it.

Only which one it is. What to do, and as whom, is in the database; so a message that was
lost, or comes twice, does no harm, and a forged one runs nothing that is not due.
"""

from collective.background.exceptions import BadMessage
from collective.background.model.external import PREFIX
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import fields


TASK = "collective.background.run"  # how Celery calls what a worker does with it
LONGEST = 1000  # characters of a text; a longer one is none of ours


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """- ``deployment``: that of the instance which has sent it, or None
    - ``database``: the name of the database, ``scheduler``: the oid of the scheduler
      in it, as hexadecimal digits; ``site``: the path of the site, for people
    - ``task``: the id of the task, ``oid``: its oid as hexadecimal digits; ``fence``:
      the number of its reservation

    Raises BadMessage for other values.
    """

    deployment: str | None
    database: str
    scheduler: str
    site: str
    task: str
    oid: str
    fence: int

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, field.type) or isinstance(value, bool):
                raise BadMessage(
                    f"{field.name} is of the type {type(value).__name__} in a message"
                )
            if isinstance(value, str) and len(value) > LONGEST:
                raise BadMessage(f"{field.name} is too long in a message")
            if isinstance(value, str) and not value.isprintable():
                # What is logged of it is to be one line.
                raise BadMessage(f"{field.name} has a control character in a message")
        for text in (self.scheduler, self.oid):
            if not _is_oid(text):
                raise BadMessage(f"{text!r} is no oid in a message")

    def payload(self):
        """Return it as what JSON knows; ``parse`` reads that."""
        return asdict(self)


def _is_oid(text):
    try:
        return len(bytes.fromhex(text)) == len(bytes(8))
    except ValueError:
        return False


def parse(payload):
    """Return the Message again. Raises BadMessage for what is none."""
    names = {field.name for field in fields(Message)}
    if not isinstance(payload, dict) or payload.keys() != names:
        raise BadMessage(
            f"a message has exactly the fields {', '.join(sorted(names))}; somebody "
            "else uses the queues of this package at the broker, or another release"
        )
    return Message(**payload)


def broker_queue(queue):
    """Return how the broker calls a queue."""
    return f"{PREFIX}{queue}"
