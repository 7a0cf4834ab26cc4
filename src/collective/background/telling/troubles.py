"""What is said of a trouble that lasts: all of it once, and then a line now and then.

For threads that try again and again what is not possible for the time being, as while
the database is away. Called by ``database/looking.py``, ``database/watch.py`` and
``recurring/ticker.py``.
"""

from collective.background.model.messages import portable_line
from collective.background.model.messages import TEXT_LENGTH
from time import monotonic
from ZODB.POSException import ReadOnlyError

import logging


REMINDER = 60.0  # seconds between two lines about the same trouble


class Troubles:
    """``logger``: says it."""

    def __init__(self, logger):
        self._logger = logger
        self._told = {}  # when, by what is not possible and the class of the error

    def tell(self, what, error):
        """Say what is not possible, and why.

        With the traceback when that is new, unless the error says it all.
        """
        kind = type(error)
        told_at = self._told.get((what, kind))
        is_new = told_at is None
        if not is_new and monotonic() - told_at < REMINDER:
            return
        self._told[what, kind] = monotonic()
        reason = f"{kind.__name__}: {error}"
        if isinstance(error, ReadOnlyError):
            reason = "the database is read-only, and this process cannot write to it"
        self._logger.log(
            logging.ERROR if is_new else logging.WARNING,
            "%s, for now: %s",
            *(what, portable_line(reason, TEXT_LENGTH)),
            exc_info=error if is_new and not isinstance(error, ReadOnlyError) else None,
        )

    def is_over(self, what):
        """It is possible again."""
        for key in [key for key in self._told if key[0] == what]:
            del self._told[key]
