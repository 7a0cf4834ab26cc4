"""What Celery knows of a message, before a process of a worker has it."""

from celery.worker.request import Request

import sys


class WellFormed(Request):
    """The request of a message.

    Raises AttributeError, TypeError or ValueError if it cannot run, or is not sent by
    this package. Celery itself looks at some of that later, when the message has a
    slot of the worker already: nobody would give that back.
    """

    def __init__(self, message, **options):
        super().__init__(message, **options)
        args, kwargs, embedded = message.payload
        is_call = isinstance(args, list) and isinstance(kwargs, dict)
        if not is_call or any(embedded.values()) or self.eta is not None:
            raise ValueError("this is not sent by this package")
        hard, soft = self.time_limits
        for limit in (hard, soft):
            if limit is not None and not 0 < limit <= sys.float_info.max:
                raise ValueError(f"{limit!r} is no number of seconds")
        if not isinstance(self.id, str):
            raise TypeError(f"{self.id!r} is no id")
