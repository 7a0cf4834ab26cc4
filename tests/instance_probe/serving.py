"""Zope under other servers than its own.

Run as ``python -m instance_probe.serving <zope.conf> <port> [fork]`` it is one that
calls waitress itself; with ``fork``, in a child of the process that has started Zope.
"""

from collective.background.executing.executor import process_executor
from threading import Thread
from waitress import serve
from Zope2.Startup.run import make_wsgi_app
from ZPublisher.httpexceptions import HTTPExceptionHandler

import logging
import os
import signal
import sys


def make_app(configuration):
    """Return the application, which logs to standard error."""
    logging.basicConfig(level=logging.INFO)
    return HTTPExceptionHandler(make_wsgi_app({}, configuration))


def fork():
    """Go on in a child, which ends together with its parent."""
    logging.info("the parent is %s", process_executor().instance)
    end, held_by_parent = os.pipe()
    child = os.fork()
    if child:
        signal.signal(signal.SIGTERM, lambda *args: os.kill(child, signal.SIGINT))
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status))
    os.close(held_by_parent)
    Thread(target=lambda: (os.read(end, 1), os._exit(1)), daemon=True).start()


if __name__ == "__main__":
    configuration, port, *how = sys.argv[1:]
    app = make_app(configuration)
    if how == ["fork"]:
        fork()
    serve(app, listen=f"127.0.0.1:{port}")
