"""Probes: how the worker is, over HTTP, for whoever supervises it."""

from collective.background.exceptions import BadOption
from collective.background.executing.health import live
from collective.background.executing.health import ready
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from threading import Thread

import logging


logger = logging.getLogger(__name__)

CHECKS = {"/live": live, "/ready": ready}


class Handler(BaseHTTPRequestHandler):
    """Answers with 200 or 503, and a text that says why."""

    timeout = 10  # seconds for a request
    server_version, sys_version = "background", ""

    def do_GET(self):
        check = CHECKS.get(self.path.partition("?")[0])
        if check is None:
            self.send_error(404, f"there are {' and '.join(CHECKS)}")
            return
        is_fine, text = check()
        body = f"{text}\n".encode()
        self.send_response(200 if is_fine else 503)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        logger.debug(format, *args)


@contextmanager
def answer_probes(host, port):
    """Answer ``/live`` and ``/ready`` for the time of a block.

    ``host``: the address to listen at; ``port``: there; None: nobody asks; 0: any that
    is free. Yields the port. Raises BadOption if it cannot be listened at.
    """
    if port is None:
        yield
        return
    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise BadOption(
            f"probes cannot be answered at {host}:{port} ({error}); choose another "
            "--health-port or --health-host"
        ) from error
    logger.info("probes are answered at http://%s:%s", host, server.server_port)
    thread = Thread(target=server.serve_forever, name="background-probes", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
