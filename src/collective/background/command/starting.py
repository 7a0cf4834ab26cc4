"""Starting Zope for a command, beside whatever else runs on its database."""

from collective.background.exceptions import BadOption
from collective.background.exceptions import Unreachable
from collective.background.telling.logs import logger as transitions
from collective.background.zopecompat import zope_database
from contextlib import contextmanager
from pathlib import Path
from zc.lockfile import LockError
from ZConfig import ConfigurationError
from Zope2.Startup.run import configure_wsgi

import logging
import os
import Zope2


logger = logging.getLogger(__name__)

VARIABLE = "ZOPE_CONF"
USUAL = Path("etc") / "zope.conf"


def configure(path):
    """Read ``zope.conf``, and return Zope's starter.

    ``path``: of the file; None: what ZOPE_CONF says, or etc/zope.conf.
    Raises Unreachable if there is none, BadOption if it cannot be used.
    """
    path = Path(path or os.environ.get(VARIABLE) or USUAL)
    if not path.is_file():
        raise Unreachable(
            f"there is no file {path}; say where zope.conf is, with -c or {VARIABLE}"
        )
    try:
        return configure_wsgi(str(path.absolute()))
    except ConfigurationError as error:
        raise BadOption(f"{path} cannot be used: {error}") from error


def start(begin):
    """Let ``begin()`` start Zope, which opens its database. Raises Unreachable."""
    try:
        begin()
    except LockError as error:
        raise Unreachable(
            f"the database is a FileStorage that another process has open ({error}); "
            "only one process can. Stop that one, use the control panel or the REST "
            "API of the site, or let the instances share the database by ZEO or "
            "RelStorage"
        ) from error


@contextmanager
def opened_database(path):
    """Yield Zope's database, a ZODB.DB. ``path``: as of ``configure``.

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


def close_databases():
    """Close the databases of Zope, at the end of the process.

    What fails is logged: after an outage a connection may not know any more where it
    belongs, and everything was written by now.
    """
    for database in zope_database().databases.values():
        try:
            database.close()
        except Exception as error:
            logger.warning("a database could not be closed in order", exc_info=error)
