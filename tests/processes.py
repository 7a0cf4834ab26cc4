"""Real processes for tests: they are watched by their logs, and killed at the end.

Used by ``instances.py`` and ``storages.py``, and so by tests and benchmarks.
"""

from contextlib import closing
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from threading import Condition
from threading import Thread
from time import monotonic

import os
import signal
import socket
import subprocess
import sys


TESTS = Path(__file__).parent
SCRIPTS = Path(sys.executable).parent

END = 120  # seconds in which a process must have ended, or have logged something


def environ(**settings):
    """Return the environment of a process with these settings of the package."""
    variables = {f"BACKGROUND_{name.upper()}": str(settings[name]) for name in settings}
    return {**os.environ, "PYTHONPATH": str(TESTS), **variables}


def run(command, *arguments, settings=None, **options):
    """Run a program to its end, and return it as ``subprocess.run`` does.

    ``settings``: those of the package; ``options``: those of ``subprocess.run``.
    Raises RuntimeError, with what it says, if it fails.
    """
    done = run_anyhow(command, *arguments, settings=settings, **options)
    if done.returncode:
        raise RuntimeError(f"{command} has failed:\n{done.stdout}\n{done.stderr}")
    return done


def run_anyhow(command, *arguments, settings=None, **options):
    """Do the same, whether it fails or not."""
    return subprocess.run(
        [command, *arguments],
        env=environ(**settings or {}),
        capture_output=True,
        text=True,
        **{"timeout": END, **options},
    )


def free_port():
    """Return a port of this machine that nobody uses now.

    Not one of those that the system gives to whoever wants any (from 32768 on), so that
    nobody comes to it by chance before it is used, or while its server is restarted.
    """
    ports = range(10_000, 32_000)
    while True:
        port = SystemRandom().choice(ports)
        with suppress(OSError), closing(socket.create_server(("127.0.0.1", port))):
            return port


# Whenever something was logged, by whichever process.
_logged = Condition()


def who(processes, *texts, times=1, timeout=END):
    """Wait until these processes have logged so many lines with all of these texts.

    That may have been before, but not before ``skip_log``. Returns one that has.
    Raises AssertionError after ``timeout`` seconds.
    """

    def found():
        having = [process for process in processes for _ in process.lines_with(*texts)]
        return having[-1] if len(having) >= times else None

    with _logged:
        process = _logged.wait_for(found, timeout)
    if process is None:
        raise AssertionError(f"they have not logged {texts} {times} times")
    return process


def _stat(pid):
    """Return what the system says of a process, from its state on; none if it ends."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return []


class Process:
    """A running program.

    ``name``: for people; ``command``: the program and its arguments; ``options``:
    those of ``subprocess.Popen``. ``log``: the lines that it has written to standard
    error so far; ``is_tampered``: whether it may behave otherwise than usually.
    """

    is_tampered = False

    def __init__(self, name, *command, **options):
        self.name = name
        self.log = []
        self._is_read = False
        self._seen = 0  # lines of the log that expect() has looked at
        self._skipped = 0  # lines that an earlier test was about
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, **options
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stderr:
            with _logged:
                self.log.append(line.rstrip())
                _logged.notify_all()
        with _logged:
            self._is_read = True
            _logged.notify_all()

    def expect(self, *texts, timeout=END):
        """Read on in the log, to a line with all of these texts, and return it.

        ``timeout``: seconds. Raises AssertionError after that, or if the process
        ends without such a line.
        """
        end = monotonic() + timeout
        with _logged:
            while True:
                while self._seen < len(self.log):
                    line = self.log[self._seen]
                    self._seen += 1
                    if all(text in line for text in texts):
                        return line
                if self._is_read:
                    raise AssertionError(self._without("has ended", texts))
                if not _logged.wait(end - monotonic()):
                    raise AssertionError(self._without("goes on", texts))

    def _without(self, what, texts):
        return f"{self.name} {what} without {texts}:\n{self.recent_log()}"

    def lines_with(self, *texts):
        """Return the lines of ``recent_log`` with all of these texts."""
        lines = self.log[self._skipped :]
        return [line for line in lines if all(text in line for text in texts)]

    def skip_log(self):
        """What is in the log now is of no interest any more."""
        with _logged:
            self._seen = self._skipped = len(self.log)

    def recent_log(self):
        """Return the log of what was not skipped, as one text."""
        return "\n".join(self.log[self._skipped :])

    @property
    def pid(self):
        return self._process.pid

    def pids(self):
        """Return the process ids of it and of its children, as a list."""
        pids = [self.pid]
        with suppress(FileNotFoundError):  # the kernel was built without that
            path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
            pids += map(int, path.read_text().split())
        return pids

    def seconds_computed(self):
        """Return for how long it has used a processor until now, and its children."""
        # Fields after the name, which may have blanks in it: see "man proc". Those of
        # children that have ended count, too.
        times = [field for pid in self.pids() for field in _stat(pid)[11:15]]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Return how many bytes of memory it has."""
        return int(_stat(self.pid)[21]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def is_running(self):
        return self.status is None

    @property
    def status(self):
        """With what it has ended: minus the number of a signal; None: not yet."""
        return self._process.poll()

    def send(self, signum):
        self._process.send_signal(signum)

    def freeze(self):
        """Let it go no further, as if the machine had too much else to do."""
        self.is_tampered = True
        self.send(signal.SIGSTOP)

    def thaw(self):
        """Let it go on."""
        self.send(signal.SIGCONT)

    def has_ended(self, timeout=END):
        """Wait for the end of the process; return the lines that it has logged.

        ``timeout``: seconds. Raises subprocess.TimeoutExpired after that.
        """
        self._process.wait(timeout)
        self._reader.join(END)
        return self.log

    def stop(self, signum=signal.SIGTERM, timeout=END):
        """End it in order, or by another signal. Raises as ``has_ended``."""
        self.send(signum)
        self.has_ended(timeout)
        self._process.stderr.close()

    def kill(self):
        """End it as a power cut does, if it has not ended yet."""
        self.stop(signal.SIGKILL)


class Leader(Process):
    """A program that has children; all of them are frozen, and killed, with it."""

    def __init__(self, name, *command, **options):
        super().__init__(name, *command, process_group=0, **options)

    def freeze(self):
        super().freeze()
        self._send_all(signal.SIGSTOP)

    def thaw(self):
        self._send_all(signal.SIGCONT)

    def kill(self):
        self._send_all(signal.SIGKILL)
        super().kill()

    def kill_alone(self):
        """Kill it, and leave its children to themselves. They have its log, too."""
        self.send(signal.SIGKILL)
        self.has_ended()

    def _send_all(self, signum):
        with suppress(ProcessLookupError):  # nobody is left
            os.killpg(self.pid, signum)
