"""The console script ``background``: what it is asked, and how it ends.

Comes in: the arguments of a command. Goes out: lines or JSON on standard output, what
went wrong on standard error, and an exit code. Whoever may read ``zope.conf`` may do
everything with the database anyway, so all is done as Zope's own user.
"""

from collective.background.command.arguments import make_parser
from collective.background.command.output import complain
from collective.background.exceptions import BackgroundError
from collective.background.exceptions import BadOption
from collective.background.exceptions import Unreachable
from collective.background.exceptions import WaitTimeout
from collective.background.model.outages import is_outage

import os
import sys


# Exit codes; docs/command.rst has the same list. argparse has 2 for usage, too.
FINE = 0
NOT_FINE = 1
USAGE = 2  # or configuration
UNREACHABLE = 3
TIME_IS_UP = 4
INTERRUPTED = 130  # as shells have it


def main(argv=None):
    """Run a command, and return its exit code.

    ``argv``: its arguments, as texts; None: those of the process.
    Raises SystemExit for arguments that cannot be understood.
    """
    arguments = make_parser().parse_args(argv)
    try:
        is_fine = arguments.run(arguments)
        sys.stdout.flush()
    except BackgroundError as error:
        complain(error)
        return _exit_code(error)
    except BrokenPipeError:
        # Who reads has seen enough. Python flushes once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_FINE
    except Exception as error:
        if not is_outage(error):
            raise
        complain(
            f"the database cannot be reached ({type(error).__name__}: {error}); see "
            "whether its server runs, and what zope.conf says of it"
        )
        return UNREACHABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    return FINE if is_fine else NOT_FINE


def _exit_code(error):
    if isinstance(error, WaitTimeout):
        return TIME_IS_UP
    if isinstance(error, Unreachable):
        return UNREACHABLE
    return USAGE if isinstance(error, BadOption) else NOT_FINE
