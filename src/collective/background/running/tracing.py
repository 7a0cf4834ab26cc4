"""How errors are logged: bounded, and so that nobody can forge a line of the log.

The text of an exception may be made of what a visitor has sent, and may have many lines
or megabytes. Called by ``ending``, ``batch``, ``runner`` and ``telling/events.py``.
"""

from textwrap import indent


LONGEST = 500  # characters of a line
MARGIN = "  "  # before each line of a traceback; what a log begins has none


def log_failure(logger, level, text, values, error, info):
    """Log an exception with its traceback.

    ``text`` and ``values``: as for ``logger.log()``. ``error``: the exception;
    ``info``: the ErrorInfo made of it, whose traceback is logged.
    """
    if not logger.isEnabledFor(level):
        return
    exc_info = (type(error), error, error.__traceback__)
    line = logger.makeRecord(logger.name, level, __file__, 0, text, values, exc_info)
    # What is there already is not formatted anew.
    line.exc_text = indent(_narrow(info.traceback.rstrip()), MARGIN)
    logger.handle(line)


def _narrow(text):
    """Return a text without what is too long of its lines."""
    lines = text.split("\n")
    return "\n".join(
        line if len(line) <= LONGEST else f"{line[:LONGEST]}…" for line in lines
    )
