"""Who serves: whether this process does what others have scheduled.

A process that serves executes the tasks of the database (unless its ``role`` leaves
them to others), ticks, and looks after other instances. A script, a console, an export
or a test does not, whatever it schedules and whatever settings it finds: it would take
tasks with it at its end.

So a process serves when Zope's own server runs it, which is known when Zope has
started; under any other server (gunicorn, uvicorn), as soon as it publishes its first
request, and so after a fork. And so do ``background worker`` and the processes of
workers of Celery, which say so themselves.
"""

from collective.background.capture.snapshot import find_database
from collective.background.executing.executor import process_executor
from collective.background.executing.executor import when_ended
from collective.background.interfaces import IServingBegins
from collective.background.model.files import remove_leftovers
from collective.background.zopecompat import is_of_test_layer
from collective.background.zopecompat import zope_database
from zope.event import notify
from zope.interface import implementer

import logging
import os
import sys
import threading
import Zope2.Startup.serve


logger = logging.getLogger(__name__)

SERVER = os.path.realpath(Zope2.Startup.serve.__file__)
SHOWN = 10  # titles of tasks that a script is told of, at the most

_lock = threading.Lock()
_has_started = False
_serves = False


@implementer(IServingBegins)
class ServingBegins:
    def __init__(self, database, executor):
        self.database = database
        self.executor = executor


def serve():
    """Let this process serve from now on. Has no effect if it does."""
    global _serves
    with _lock:
        if _serves:
            return
        _serves = True
    executor = process_executor()
    logger.info(
        "instance %s serves, in the role %r", executor.instance, executor.settings.role
    )
    notify(ServingBegins(find_database(), executor))


def is_serving():
    """Whether this process serves."""
    return _serves


def is_run_by_server():
    """Whether Zope's own server is the program that runs in this thread.

    That is ``runwsgi``, and what ``bin/instance`` of plone.recipe.zope2instance
    starts; other programs start Zope in the same way, but without it.
    """
    frame = sys._getframe()
    while frame is not None:
        if os.path.realpath(frame.f_code.co_filename) == SERVER:
            return True
        frame = frame.f_back
    return False


def process_starts(event):
    """Called when Zope has started."""
    global _has_started
    # The server of plone.testing starts it, too: on a database that ends with a test.
    _has_started = not is_of_test_layer(zope_database())
    process_executor()  # a mistake in its settings shows now, not with the first task
    remove_leftovers()
    if is_run_by_server():
        serve()


def request_begins(event):
    """Called when a request is about to be published."""
    # Without a start of Zope it is a test.
    if _has_started and not _serves:
        serve()


def tell_script(titles):
    """Tell a script at its end which of its tasks are lost.

    ``titles``: of these.
    """
    if not titles or _serves:
        return
    shown = ", ".join(map(repr, titles[:SHOWN]))
    more = f" and {len(titles) - SHOWN} more" if len(titles) > SHOWN else ""
    sys.stderr.write(
        "collective.background: tasks that had not ended when this program did are "
        f"lost: {shown}{more}. They were in its memory only; let it call "
        "get_scheduler().wait_all(seconds) after its commit.\n"
    )


when_ended(tell_script)


def _begin_anew():
    """In the child of a fork, the threads that serve are missing."""
    global _lock, _serves
    _lock = threading.Lock()
    _serves = False


os.register_at_fork(after_in_child=_begin_anew)
