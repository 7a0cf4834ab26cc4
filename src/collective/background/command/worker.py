"""The worker: a process that only executes tasks, without a web server.

Comes in: the arguments of the command. It goes on until a signal ends it, which waits
for tasks as under Zope's own server.
"""

from collective.background.command.probes import answer_probes
from collective.background.exceptions import BadOption
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import process_executor
from collective.background.executing.serving import serve
from collective.background.executing.shutdown import handle_signals
from collective.background.executing.starting import close_databases
from collective.background.executing.starting import configure
from collective.background.executing.starting import ROLE
from collective.background.executing.starting import start
from pathlib import Path
from threading import Event
from Zope2.Startup.serve import setup_logging

import logging
import os
import sys


logger = logging.getLogger(__name__)

WAKING = 1.0  # seconds until it acts on a signal at the latest
FORMAT = "%(asctime)s %(levelname)s [%(name)s][%(threadName)s] %(message)s"


def work(arguments):
    """Execute tasks until a signal comes; return whether all was fine.

    Raises Unreachable; BadOption for configuration that cannot be used.
    """
    begin_log(arguments.logging)
    before = dict(os.environ)
    starter = configure(arguments.config)
    apply_environment(starter.cfg.environment, before)
    # Whatever zope.conf, which others may have as well, says.
    os.environ[ROLE] = "worker"
    start(starter.prepare)
    executor = process_executor()
    try:
        handle_signals()
        with answer_probes(arguments.health_host, arguments.health_port):
            serve()
            # The main thread acts on signals, and is not always woken by one, which
            # another thread may get.
            while not Event().wait(WAKING):
                continue
    except (SystemExit, KeyboardInterrupt):
        logger.info("the worker ends")
    finally:
        executor.drain(Deadline(executor.settings.drain_timeout))
        close_databases()
    return True


def begin_log(path):
    """Write the log as a file of settings says, like zope.ini; None: to standard error.

    Raises BadOption if there is no such file.
    """
    if path is not None:
        if not Path(path).is_file():
            raise BadOption(f"--logging is {path}; there is no such file")
        setup_logging(path)
    logging.basicConfig(level=logging.INFO, format=FORMAT)


def apply_environment(wanted, before):
    """Begin anew if the variables that ``zope.conf`` wants came too late.

    Some modules look at them when they are imported, and many were by now.
    """
    if any(before.get(name) != value for name, value in wanted.items()):
        os.execv(sys.executable, sys.orig_argv)
