"""``@@background-result/<id>``: what a task has produced, as a file to download.

For its user and for managers. Never shown as a page of the site: it comes from wherever
the task has it from, and might have scripts. It is not read into memory.
"""

from collective.background.model.messages import _
from collective.background.model.records import BatchResult
from collective.background.model.records import Response
from collective.background.showing.task_view import TaskView
from dataclasses import asdict
from email.message import Message as Headers
from mimetypes import guess_extension
from plone.i18n.normalizer.interfaces import IFileNameNormalizer
from plone.restapi.serializer.converters import json_compatible
from plone.transformchain.interfaces import DISABLE_TRANSFORM_REQUEST_KEY
from urllib.parse import quote
from zExceptions import NotFound
from zope.component import getUtility
from zope.i18n import translate
from zope.i18nmessageid import Message
from zope.interface import implementer
from ZPublisher.Iterators import IStreamIterator

import json


CHUNK = 1 << 16  # bytes that are sent at once


@implementer(IStreamIterator)
class SpoolIterator:
    """Gives a spool to the publisher, a chunk at a time."""

    def __init__(self, spool):
        self._size = spool.size
        self._spool = spool  # it must live as long as its file is read
        self._file = spool.open()

    def __len__(self):
        return self._size

    def __iter__(self):
        return self

    def __next__(self):
        chunk = self._file.read(CHUNK)
        if not chunk:
            raise StopIteration
        return chunk


class ResultView(TaskView):
    """What a view or a web server has answered keeps its type and its name; whatever
    else can be JSON, is.
    """

    def __call__(self):
        record, result = self.record, self.result
        if result is None:
            raise NotFound(f"the task {self.task_id} has no result")
        if isinstance(result, Response):
            content_type = result.headers.get("content-type") or ""
            name = _file_name(result.headers.get("content-disposition"))
            body, size = SpoolIterator(result.spool), result.spool.size
        else:
            content_type, name = "application/json", None
            try:
                body = _as_json(result)
            except (TypeError, ValueError):
                return self._explain(result)
            size = len(body)
        self._set_headers(
            content_type or "application/octet-stream",
            name or self._derived_name(record, content_type),
            size,
        )
        return body

    def _explain(self, result):
        """Answer that there is something, but nothing for people."""
        response = self.request.response
        response.setStatus(404)
        response.setHeader("Content-Type", "text/plain; charset=utf-8")
        text = _("The result, a ${type}, cannot be downloaded.")
        text = Message(text, mapping={"type": type(result).__name__})
        return translate(text, context=self.request)

    def _derived_name(self, record, content_type):
        """Return a file name of the title of the task."""
        title = translate(record.title, context=self.request)
        stem = getUtility(IFileNameNormalizer).normalize(title) or record.id
        return stem + (guess_extension(content_type.partition(";")[0].strip()) or "")

    def _set_headers(self, content_type, name, size):
        response = self.request.response
        response.setHeader("Content-Type", content_type)
        response.setHeader("Content-Length", str(size))
        response.setHeader(
            "Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, '')}"
        )
        response.setHeader("X-Content-Type-Options", "nosniff")
        response.setHeader("Cache-Control", "private, no-cache")
        # Neither the theme nor anybody else has anything to do with it.
        self.request.environ[DISABLE_TRANSFORM_REQUEST_KEY] = True


def _as_json(result):
    """Return the bytes of a result. Raises TypeError, ValueError."""
    if isinstance(result, BatchResult):
        return json.dumps(_failures(result), indent=2, default=repr).encode()
    return json.dumps(json_compatible(result), indent=2).encode()


def _failures(result):
    """Return what a BatchResult says, whatever its items are."""
    failures = [
        {"index": failure.index, "item": failure.item, "error": asdict(failure.error)}
        for failure in result.failures
    ]
    return {"done": result.done, "failures": failures}


def _file_name(disposition):
    """Return the file name of a header Content-Disposition, without any path."""
    header = Headers()
    header["Content-Disposition"] = " ".join((disposition or "").split())
    name = (header.get_filename() or "").replace("\\", "/")
    return name.rpartition("/")[2].strip(". ")
