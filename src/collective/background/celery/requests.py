"""What Celery knows of a message, before a process of a worker has it."""

from celery.worker.request import Request

import sys


class WellFormed(Request):
    """The request of a message. Raises TypeError or ValueError if it cannot run.

    Celery itself looks at some of that later, when the message has a slot of the worker
    already: nobody would give that back.
    """

    def __init__(self, message, **options):
        super().__init__(message, **options)
        hard, soft = self.time_limits
        for limit in (hard, soft):
            if limit is not None and not 0 < limit <= sys.float_info.max:
                raise ValueError(f"{limit!r} is no number of seconds")
        if not isinstance(self.id, str):
            raise TypeError(f"{self.id!r} is no id")
