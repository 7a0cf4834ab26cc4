"""Brokers for Celery, as processes of their own; for tests and benchmarks."""

from helpers import needed
from processes import free_port
from processes import Process

import redis
import shutil


class Redis:
    """A Redis server, which keeps nothing on a disk: what it has is lost at its end.

    ``url``: its address, as the setting ``celery_broker`` has it.
    """

    def __init__(self):
        self._program = needed(shutil.which("redis-server"), "redis-server")
        self._port = str(free_port())
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self):
        """Start the server (again), without messages."""
        options = {"port": self._port, "bind": "127.0.0.1", "logfile": "/dev/stderr"}
        options |= {"save": "", "appendonly": "no"}
        arguments = [text for name in options for text in (f"--{name}", options[name])]
        self.server = Process("Redis", self._program, *arguments)
        self.server.expect("Ready to accept connections")

    def client(self):
        """Return a client of the server, a ``redis.Redis``."""
        return redis.Redis.from_url(self.url)

    def flush(self):
        """Let it lose all messages."""
        self.client().flushall()

    def stop(self):
        """Stop the server; it need not run."""
        self.server.kill()

    close = stop
