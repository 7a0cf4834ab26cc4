"""Brokers for Celery, as processes of their own; for tests and benchmarks."""

from contextlib import contextmanager
from helpers import needed
from pathlib import Path
from processes import free_port
from processes import Leader
from processes import Process
from tempfile import TemporaryDirectory

import os
import redis
import shutil
import subprocess


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


class RabbitMQ:
    """A RabbitMQ server, which keeps queues and messages when it is started again.

    ``url``: as that of Redis. It shares nothing with others: it has files and ports of
    its own, and the registry of names that each server in Erlang needs.
    """

    # Debian has others on the PATH, which become another user.
    programs = Path("/usr/lib/rabbitmq/bin")

    def __init__(self):
        program = self.programs / "rabbitmq-server"
        self._program = needed(program.exists() and program, "Debian's rabbitmq-server")
        self._folder = TemporaryDirectory(prefix="rabbitmq-")
        registry, port, other = (str(free_port()) for _ in range(3))
        self.url = f"amqp://guest:guest@127.0.0.1:{port}//"
        self._environ = {
            **os.environ,
            "HOME": self._folder.name,  # of the secret of its commands
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "ERL_EPMD_PORT": registry,
            "RABBITMQ_NODENAME": "tests@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_DIST_PORT": other,
            "RABBITMQ_MNESIA_BASE": self._folder.name,
            "RABBITMQ_LOG_BASE": self._folder.name,
            "RABBITMQ_LOGS": "-stderr",
            "RABBITMQ_CONFIG_FILE": f"{self._folder.name}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self._folder.name}/none",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        # It would be started by the server, and stay.
        options = ("-port", registry, "-address", "127.0.0.1")
        self._registry = Process("epmd", "epmd", *options, env=self._environ)
        self.start()

    def start(self):
        """Start the server (again)."""
        options = {"env": self._environ, "stdout": subprocess.DEVNULL}
        self.server = Leader("RabbitMQ", self._program, **options)
        self.server.expect("Server startup complete")

    def control(self, *arguments):
        """Call ``rabbitmqctl``, and return what it prints."""
        return subprocess.check_output(
            ["rabbitmqctl", "--quiet", *arguments], env=self._environ, text=True
        )

    @contextmanager
    def full(self):
        """Within a ``with`` block its memory is full: it reads nothing of who sends."""
        self.control("set_vm_memory_high_watermark", "0.0001")
        try:
            yield
        finally:
            self.control("set_vm_memory_high_watermark", "0.4")

    def flush(self):
        """Let it lose all messages that no worker has."""
        for name in self.control("list_queues", "name", "--no-table-headers").split():
            self.control("purge_queue", name)

    def stop(self):
        """Stop the server; it need not run."""
        self.server.kill()

    def close(self):
        self.stop()
        self._registry.kill()
        self._folder.cleanup()
