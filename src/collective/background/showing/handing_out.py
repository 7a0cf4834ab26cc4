"""How results are handed out over HTTP: to be kept, never to be shown or run.

Comes in: what a task has produced, from wherever it has that. Goes out: the headers and
the body of an answer. Used by ``@@background-result`` and by the REST API.

A view's answer may be a page with scripts in it, and its headers too are made of what
anybody has written. At the site's own address these scripts could do whatever the one
may who looks at them. So none of the headers is passed on as it is.
"""

from email.message import Message as Headers
from plone.transformchain.interfaces import DISABLE_TRANSFORM_REQUEST_KEY
from urllib.parse import quote
from zope.interface import implementer
from ZPublisher.Iterators import IStreamIterator


JSON = "application/json"
BYTES = "application/octet-stream"
OFFICE = "application/vnd.openxmlformats-officedocument"

# No browser finds a script in these.
HARMLESS = frozenset(
    {
        *(JSON, BYTES, "application/gzip", "application/pdf", "application/zip"),
        *("image/gif", "image/jpeg", "image/png", "image/webp"),
        *("text/calendar", "text/csv", "text/plain"),
        f"{OFFICE}.presentationml.presentation",
        f"{OFFICE}.spreadsheetml.sheet",
        f"{OFFICE}.wordprocessingml.document",
        "application/vnd.oasis.opendocument.presentation",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.text",
    }
)

CHUNK = 1 << 16  # bytes that are sent at once


@implementer(IStreamIterator)
class SpoolIterator:
    """Gives a spool to the publisher, a chunk at a time: not all of it into memory."""

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


def keep_private(response):
    """Let no proxy keep an answer that is for one user, and no browser reuse it.

    It may store it, though: what it has not stored it cannot ask about by an ETag.
    """
    response.setHeader("Cache-Control", "private, no-cache")


def hand_out(request, content_type, name=""):
    """Set all headers of an answer that has something of a task in its body.

    ``content_type``: one of HARMLESS, see ``harmless_type()``; ``name``: of the file.
    """
    response = request.response
    disposition = f"attachment; filename*=UTF-8''{quote(name, '', errors='replace')}"
    for header, value in {
        "Content-Type": content_type,
        "Content-Disposition": disposition if name else "attachment",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }.items():
        response.setHeader(header, value)
    # A theme, say, would take the body for a page of the site.
    request.environ[DISABLE_TRANSFORM_REQUEST_KEY] = True


def harmless_type(header):
    """Return the content type to be sent instead of the one that a view has given.

    ``header``: its Content-Type, or None. What is not one of HARMLESS are just bytes.
    """
    kind, _, parameters = (header or "").lower().partition(";")
    kind = kind.strip()
    if kind not in HARMLESS:
        return BYTES
    is_utf8 = parameters.strip() in ("charset=utf-8", 'charset="utf-8"')
    return f"{kind}; charset=utf-8" if is_utf8 and kind.startswith("text/") else kind


def file_name(disposition):
    """Return the file name of a header Content-Disposition (or None), or "".

    Without any path, and visible.
    """
    header = Headers()
    try:
        header["Content-Disposition"] = " ".join((disposition or "").split())
        name = (header.get_filename() or "").replace("\\", "/")
    except ValueError:  # in a character set that is none
        return ""
    return name.rpartition("/")[2].strip(". ")
