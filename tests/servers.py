"""Instances under other servers than Zope's own.

``end``: the signal at which the server ends in order.
"""

from helpers import needed
from instances import Instance
from instances import zope_conf
from processes import END
from processes import SCRIPTS

import shutil
import signal
import sys


class Waitress(Instance):
    """A program that calls waitress itself."""

    end = signal.SIGINT
    how = ()

    def command(self, folder, port):
        program = (sys.executable, "-m", "instance_probe.serving")
        return *program, zope_conf(folder), str(port), *self.how


class ForkedWaitress(Waitress):
    """The same in a child of the process that has started Zope."""

    end = signal.SIGTERM
    how = ("fork",)


class Gunicorn(Instance):
    """gunicorn with one worker, which starts Zope itself."""

    end = signal.SIGTERM
    ready = "Booting worker with pid"
    options = ()

    def command(self, folder, port):
        program = needed(shutil.which("gunicorn", path=SCRIPTS), "gunicorn")
        app = f"instance_probe.serving:make_app({str(zope_conf(folder))!r})"
        options = ("--bind", f"127.0.0.1:{port}", "--timeout", str(END))
        return program, *options, *self.options, app


class PreloadingGunicorn(Gunicorn):
    """gunicorn that starts Zope before it forks its worker."""

    options = ("--preload",)
