"""What tests need around tasks: queues, which zope.conf has in earnest, and uploads."""

from collective.background.executing.executor import process_executor
from collective.background.executing.turns import Queues
from collective.background.model.config import DEFAULT_QUEUE
from collective.background.model.spool import CapturedUpload
from collective.background.model.spool import Spool
from collective.background.zopecompat import make_upload
from contextlib import contextmanager
from dataclasses import replace
from requests.structures import CaseInsensitiveDict


@contextmanager
def queues(**slots):
    """Let the process have these queues for the time of a block, as zope.conf gives it.

    ``slots``: how many tasks run at once, by the name of the queue; one of the name
    ``default`` as well. All others are gone meanwhile, but for ``default``. Tasks have
    to have ended by the end of the block: call ``drain()``.
    Raises BadOption for what cannot be the name of a queue, or its slots.
    """
    executor = process_executor()
    dispatcher = executor.dispatcher
    settings, usual = executor.settings, dispatcher.queues
    executor.settings = replace(settings, queues=slots)
    dispatcher.queues = Queues(executor.settings.queues, usual.locks)
    if DEFAULT_QUEUE not in slots:
        dispatcher.queues[DEFAULT_QUEUE] = usual[DEFAULT_QUEUE]
    try:
        yield
    finally:
        executor.settings, dispatcher.queues = settings, usual


def upload(data, filename, content_type="application/octet-stream"):
    """Return a file as the field of a form has it that a visitor has sent.

    ``data``: bytes; ``filename``, ``content_type``: what his browser says of them. What
    is returned is a FileUpload of ZPublisher: for ``request.form``, for the ``form`` of
    ``schedule_view()``, and for an argument of a task.
    """
    headers = CaseInsensitiveDict({"Content-Type": content_type})
    return make_upload(CapturedUpload(Spool.of(data), headers, filename, "file"))
