"""Where people find what a task works on, and has produced: a page, or a file.

Comes in: the record or the result of a task. Goes out: addresses. Used by the tray,
the control panel and in mails.
"""

from collective.background.capture.call import BATCH
from collective.background.model.records import BatchResult
from collective.background.model.records import Response
from plone import api


DOWNLOAD = "@@background-result"
FAILURES = "@@background-failures"


def content_url(record, request):
    """Return where the content is, also when it was moved since then; or None."""
    if record.context_uid:
        return f"{api.portal.get().absolute_url()}/resolveuid/{record.context_uid}"
    if record.context_path:
        return request.physicalPathToURL(record.context_path)
    return None


def is_for_people(record):
    """Whether a task has left something that is worth to be looked at.

    What a view or a web server has answered, and the errors of a batch. What functions
    return is for other functions.
    """
    if record.kind == BATCH:
        return failures_url(record) is not None
    return record.has_result and record.kind in ("view", "request")


def failures_url(record):
    """Return the address of the page with the items of a batch that failed, or None."""
    if not (record.kind == BATCH and record.has_result and record.progress.failed):
        return None
    return f"{api.portal.get().absolute_url()}/{FAILURES}/{record.id}"


def result_page(result):
    """Return the address of the page to which a view has led, or None.

    It is one of the site. ``result``: that of a task that ``is_for_people``.
    """
    location = result.location if isinstance(result, Response) else None
    # A relative one is relative to what nobody knows any more.
    if not location or not location.startswith(("http://", "https://")):
        return None
    is_here = api.portal.get_tool("portal_url").isURLInPortal(location)
    return location if is_here else None


def download_url(id, result):
    """Return the address of the file, or None if there is nothing in it.

    ``id``: of the task; ``result``: as above, or None if it is gone by now.
    """
    if isinstance(result, BatchResult):
        is_empty = not result.failures
    else:
        is_empty = result is None or not result.spool.size
    return None if is_empty else f"{api.portal.get().absolute_url()}/{DOWNLOAD}/{id}"
