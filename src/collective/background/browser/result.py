"""``@@background-result/<id>``: what a task has produced, as a file to download.

For its user and for managers. Never shown as a page of the site, see
``showing/handing_out.py``. It is not read into memory.
"""

from collective.background.model.messages import _
from collective.background.model.records import BatchResult
from collective.background.model.records import Response
from collective.background.showing.handing_out import file_name
from collective.background.showing.handing_out import hand_out
from collective.background.showing.handing_out import harmless_type
from collective.background.showing.handing_out import JSON
from collective.background.showing.handing_out import SpoolIterator
from collective.background.showing.serializing import NO_JSON
from collective.background.showing.serializing import serialize_error
from collective.background.showing.task_view import TaskView
from mimetypes import guess_extension
from plone.i18n.normalizer.interfaces import IFileNameNormalizer
from plone.restapi.serializer.converters import json_compatible
from zExceptions import NotFound
from zope.component import getUtility
from zope.i18n import translate
from zope.i18nmessageid import Message

import json


class ResultView(TaskView):
    """What a view or a web server has answered keeps its name, and its type if that is
    a harmless one; whatever else can be JSON, is.
    """

    def __call__(self):
        record, result = self.record, self.result
        if result is None:
            raise NotFound(f"the task {self.task_id} has no result")
        if isinstance(result, Response):
            given = result.headers.get("Content-Type") or ""
            content_type = harmless_type(given)
            name = file_name(result.headers.get("Content-Disposition"))
            body, size = SpoolIterator(result.spool), result.spool.size
        else:
            given = content_type = JSON
            name = ""
            try:
                body = _as_json(result, self.request)
            except NO_JSON:
                return self._explain(result)
            size = len(body)
        hand_out(self.request, content_type, name or self._derived_name(record, given))
        self.request.response.setHeader("Content-Length", str(size))
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


def _as_json(result, request):
    """Return the bytes of a result. Raises NO_JSON."""
    if isinstance(result, BatchResult):
        return json.dumps(_failures(result, request), indent=2, default=repr).encode()
    return json.dumps(json_compatible(result), indent=2, allow_nan=False).encode()


def _failures(result, request):
    """Return what a BatchResult says, whatever its items are."""
    failures = [
        {"index": failure.index, "item": failure.item}
        | {"error": serialize_error(failure.error, request)}
        for failure in result.failures
    ]
    return {"done": result.done, "failures": failures}
