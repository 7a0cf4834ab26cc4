"""Opening the database for a command, beside whatever else runs on it."""

from collective.background.executing.starting import close_databases
from collective.background.executing.starting import configure
from collective.background.executing.starting import start
from collective.background.telling.logs import logger as transitions
from collective.background.zopecompat import zope_database
from contextlib import contextmanager

import logging
import Zope2


@contextmanager
def opened_database(path):
    """Yield Zope's database, a ZODB.DB. ``path``: of ``zope.conf``, see ``configure``.

    Without the event of a process that starts: this one executes nothing.
    Raises Unreachable, BadOption if ``zope.conf`` cannot be used.
    """
    keep_transitions_quiet()
    configure(path)
    start(Zope2.startup_wsgi)
    try:
        yield zope_database()
    finally:
        close_databases()


def keep_transitions_quiet():
    """Show no line of the log for what becomes of tasks, unless it is written anywhere.

    Python shows warnings for which nobody has set up a log. Who runs a command is told
    by the command what it has done.
    """
    transitions.addHandler(logging.NullHandler())
