"""Starting Zope in a process that its own server does not start."""

from collective.background.exceptions import BadOption
from collective.background.exceptions import Unreachable
from collective.background.zopecompat import is_configured
from collective.background.zopecompat import zope_database
from pathlib import Path
from zc.lockfile import LockError
from ZConfig import ConfigurationError
from Zope2.Startup.run import configure_wsgi

import logging
import os


logger = logging.getLogger(__name__)

VARIABLE = "ZOPE_CONF"
ROLE = "BACKGROUND_ROLE"
USUAL = Path("etc") / "zope.conf"


def configure(path=None):
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


def configure_if_told():
    """Read the file that ZOPE_CONF names, unless one was read. Raises as ``configure``.

    For a program that is not ours, and does not know Zope.
    """
    if VARIABLE in os.environ and not is_configured():
        configure()


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
