"""A real Plone site in this process: a FileStorage, opened as Zope does it."""

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import subprocess
import sys
import threading


ROOT = Path(__file__).parent.parent
USER, PASSWORD = "editor1", "editor1-demo"
BIN = Path(sys.executable).parent
STOP = 10  # seconds


def create_site(folder):
    """Make an instance with a site, as ``make start`` does; return its folder."""
    where = Path(folder) / "instance"
    skeleton = ROOT / "demo" / "skeleton"
    make = [BIN / "mkwsgiinstance", "--dir", where, "--skelsrc", skeleton]
    subprocess.run([*make, "--user", "admin:admin"], check=True)
    create = [BIN / "zconsole", "run", where / "etc" / "zope.conf"]
    subprocess.run([*create, ROOT / "demo" / "create_site.py"], check=True)
    return where


@contextmanager
def opened(where):
    """Open an instance in this process; yields the WSGI application."""
    from Zope2.Startup.run import make_wsgi_app

    application = make_wsgi_app({}, str(where / "etc" / "zope.conf"))
    from collective.background.executing.deadline import Deadline
    from collective.background.executing.executor import process_executor

    import Zope2

    # What Zope does at the first request.
    Zope2.startup_wsgi()
    yield application
    # As a server that is stopped: first the threads, then the database.
    process_executor().drain(Deadline(STOP))
    Zope2.DB.close()


@contextmanager
def instance():
    """Create a site, and open it in this process; yields the WSGI application."""
    with TemporaryDirectory() as folder, opened(create_site(folder)) as application:
        yield application


@contextmanager
def server(application):
    """Serve the application on a free port of this machine; yields the port."""
    from waitress.server import create_server

    served = create_server(application, host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    try:
        yield served.effective_port
    finally:
        served.close()


def get(client, url):
    """Return the body of a page, as the editor.

    ``client``: ``requests``, for a new connection, or a session of it, to keep
    one alive. Raises requests.HTTPError unless the status is good.
    """
    answer = client.get(url, auth=(USER, PASSWORD))
    answer.raise_for_status()
    return answer.content
